from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from adaspring.context.model import Reading
from adaspring.context.sysroot import Sysroot
from adaspring.context.thermal import ThermalSensor

Put = Callable[[str, str], None]
Zones = dict[str, str]

# Types and values as the drivers show them.
RASPBERRY_PI = {"cpu-thermal": "48686"}  # bcm2711_thermal
# tegra210-soctherm with NVIDIA's kernel 4.9 (Jetson Nano): the PMIC says 100 degrees whatever happens,
# and the fan estimates.
JETSON_NANO = {
    "AO-therm": "45000",
    "CPU-therm": "38500",
    "GPU-therm": "37000",
    "PLL-therm": "36500",
    "PMIC-Die": "100000",
    "thermal-fan-est": "37750",
}
# tegra-bpmp-thermal (Jetson Orin): zones of cores that are switched off fail or say -256.
JETSON_ORIN = {"cpu-thermal": "47125", "gpu-thermal": "-256000", "cv0-thermal": "-256000", "tj-thermal": "48031"}
# A laptop: x86_pkg_temp_thermal, acpitz, int340x_thermal (a constant 20 degrees) and a wireless card.
LAPTOP = {"INT3400 Thermal": "20000", "acpitz": "27800", "x86_pkg_temp": "51000", "iwlwifi_1": "60000"}
FANLESS_PC = {"acpitz": "41000"}


def sense(put: Put, sysroot: Sysroot, zones: Zones) -> Reading:
    """The reading of a tree with these zones."""
    for number, (kind, temp) in enumerate(zones.items()):
        put(f"/sys/class/thermal/thermal_zone{number}/type", f"{kind}\n")
        put(f"/sys/class/thermal/thermal_zone{number}/temp", f"{temp}\n")
    sensor = ThermalSensor(sysroot)
    sensor.discover()
    return sensor.read()["temperature_c"]


@pytest.mark.parametrize(
    ("zones", "celsius", "source"),
    [
        (RASPBERRY_PI, 48.686, "thermal_zone0 (cpu-thermal)"),
        (JETSON_NANO, 38.5, "thermal_zone1 (CPU-therm)"),
        (JETSON_ORIN, 48.031, "thermal_zone3 (tj-thermal)"),
        (LAPTOP, 51.0, "thermal_zone2 (x86_pkg_temp)"),
        (FANLESS_PC, 41.0, "thermal_zone0 (acpitz)"),
        ({"cpu0-thermal": "0", "cpu1-thermal": "-5000"}, 0.0, "thermal_zone0 (cpu0-thermal)"),
    ],
)
def test_the_hottest_zone_on_the_die_counts(
    put: Put, sysroot: Sysroot, zones: Zones, celsius: float, source: str
) -> None:
    """Zones are chosen by type; constants, fans and wireless cards are not the processor."""
    assert Reading(celsius, source) == sense(put, sysroot, zones)


@pytest.mark.parametrize(
    ("zones", "reason"),
    [
        ({}, "/sys/class/thermal lists no thermal zone"),
        ({"iwlwifi_1": "50000", "PMIC-Die": "100000"}, "there are iwlwifi_1, PMIC-Die"),
        ({"cpu-thermal": "-256000"}, r"\(cpu-thermal\) says -256"),
        ({"cpu-thermal": "200000"}, "says 200"),
    ],
)
def test_no_temperature_is_made_up(put: Put, sysroot: Sysroot, zones: Zones, reason: str) -> None:
    """Without a zone that tells the truth there is no value, and the reason says what was seen."""
    reading = sense(put, sysroot, zones)
    assert reading.value is None
    assert re.search(reason, reading.reason)
