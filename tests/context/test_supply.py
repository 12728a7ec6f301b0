from __future__ import annotations

from collections.abc import Callable

import pytest

from adaspring.context.model import Reading
from adaspring.context.supply import SupplySensor
from adaspring.context.sysroot import Sysroot

Put = Callable[[str, str], None]
Supplies = dict[str, dict[str, str]]

# A laptop with two batteries (drivers/acpi/battery.c reports energy where the firmware counts in watts).
LAPTOP = {
    "AC": {"type": "Mains", "online": "0"},
    "BAT0": {
        "type": "Battery", "present": "1", "status": "Discharging", "capacity": "50",
        "energy_now": "10000000", "energy_full": "20000000", "power_now": "7500000",
    },
    "BAT1": {
        "type": "Battery", "present": "1", "status": "Unknown", "capacity": "80",
        "energy_now": "48000000", "energy_full": "60000000", "power_now": "0",
    },
}  # fmt: skip
# Librem 5: a fuel gauge (max17042_battery.c, negative when it drains) and a charger (bq25890_charger.c).
PHONE = {
    "bq25890-charger-0": {"type": "USB", "online": "0", "status": "Not charging"},
    "max170xx_battery": {
        "type": "Battery", "present": "1", "status": "Discharging", "capacity": "82",
        "charge_now": "2462000", "charge_full": "3000000", "current_now": "-362000", "voltage_now": "3900000",
    },
}  # fmt: skip
# A UPS board on a Raspberry Pi: max17040_battery.c knows percents and the voltage, no status and no charger.
HAT = {"battery": {"type": "Battery", "online": "1", "capacity": "64", "voltage_now": "3850000"}}
# A desktop with a wireless mouse (hid-logitech-hidpp.c).
MOUSE = {"hidpp_battery_0": {"type": "Battery", "scope": "Device", "status": "Discharging", "capacity": "5"}}


def sense(put: Put, sysroot: Sysroot, supplies: Supplies) -> dict[str, Reading]:
    """The readings of a tree with these supplies."""
    for name, files in supplies.items():
        for file, text in files.items():
            put(f"/sys/class/power_supply/{name}/{file}", f"{text}\n")
    sensor = SupplySensor(sysroot)
    sensor.discover()
    return dict(sensor.read())


def changed(supplies: Supplies, name: str, **files: str) -> Supplies:
    """The same supplies with some files of one of them changed; None leaves a file out."""
    return {**supplies, name: {**supplies[name], **files}}


@pytest.mark.parametrize(
    ("supplies", "percent", "external", "watts"),
    [
        (LAPTOP, 100 * 58 / 80, 0.0, 7.5),
        (PHONE, 100 * 2462 / 3000, 0.0, 0.362 * 3.9),
        (changed(PHONE, "max170xx_battery", current_now="362000"), 100 * 2462 / 3000, 0.0, 0.362 * 3.9),
        (changed(PHONE, "bq25890-charger-0", online="1"), 100 * 2462 / 3000, 1.0, 0.362 * 3.9),
        (changed(PHONE, "max170xx_battery", status="Charging"), 100 * 2462 / 3000, 0.0, None),
        (changed(PHONE, "max170xx_battery", charge_now="3060000"), 100.0, 0.0, 0.362 * 3.9),
        (changed(PHONE, "max170xx_battery", charge_full="0"), 82.0, 0.0, 0.362 * 3.9),
        (changed(PHONE, "max170xx_battery", charge_now="-1"), 82.0, 0.0, 0.362 * 3.9),
        (changed(PHONE, "max170xx_battery", present="0"), None, 0.0, 0.362 * 3.9),
        (HAT, 64.0, None, None),
        (MOUSE, None, None, None),
        ({}, None, None, None),
        ({"AC": {"type": "Mains", "online": "1"}}, None, 1.0, None),
        ({"AC": {"type": "Mains", "online": "0"}, "usb": {"type": "USB", "online": "2"}}, None, 1.0, None),
        ({"BAT0": {"type": "Battery", "status": "Charging", "capacity": "3"}}, 3.0, 1.0, None),
        ({"BAT0": {"type": "Battery", "status": "Discharging", "capacity": "3"}}, 3.0, 0.0, None),
        ({"BAT0": {"type": "Battery", "status": "Unknown", "capacity": "101"}}, None, None, None),
    ],
)
def test_supplies_are_read_by_their_type(
    put: Put,
    sysroot: Sysroot,
    *,
    supplies: Supplies,
    percent: float | None,
    external: float | None,
    watts: float | None,
) -> None:
    """Gauges, chargers, several batteries and either sign of a current are understood; the rest is absent."""
    readings = sense(put, sysroot, supplies)
    values = [readings[name].value for name in ("battery_percent", "external_power", "battery_power_w")]
    assert pytest.approx([percent, external, watts]) == values
    for reading in readings.values():
        assert (reading.value is None) == bool(reading.reason)


def test_batteries_of_unknown_size_count_alike(put: Put, sysroot: Sysroot) -> None:
    """Where a battery does not say what it holds, all count the same."""
    supplies = {**LAPTOP, "UPS": {"type": "UPS", "capacity": "20"}}
    assert pytest.approx((50 + 80 + 20) / 3) == sense(put, sysroot, supplies)["battery_percent"].value


def test_a_battery_answers_for_a_supply_that_is_broken(put: Put, sysroot: Sysroot) -> None:
    """What drains is not fed, whatever a charger fails to say; the source is then the battery."""
    reading = sense(put, sysroot, changed(PHONE, "bq25890-charger-0", online="oops"))["external_power"]
    assert Reading(0.0, "max170xx_battery") == reading


def test_a_supply_without_a_type_is_passed_over(put: Put, sysroot: Sysroot) -> None:
    """A half-registered device hides nothing."""
    put("/sys/class/power_supply/AAA/online", "1\n")
    assert sense(put, sysroot, PHONE)["external_power"].value == 0


def test_power_is_absent_while_the_battery_charges(put: Put, sysroot: Sysroot) -> None:
    """The current into a battery is not what the device draws, and the reason says so."""
    reading = sense(put, sysroot, changed(PHONE, "max170xx_battery", status="Charging"))["battery_power_w"]
    assert "does not feed the board" in reading.reason
