from __future__ import annotations

from collections.abc import Callable

import pytest

from adaspring.context.model import Reading
from adaspring.context.rails import MeterSensor, RailSensor
from adaspring.context.sysroot import Sysroot

Put = Callable[[str, str], None]
HWMON = "/sys/class/hwmon/hwmon"


def chip(put: Put, number: int, name: str, rails: dict[str, tuple[int, int]]) -> None:
    """An INA3221 with rails of so many millivolts and milliamperes."""
    put(f"{HWMON}{number}/name", f"{name}\n")
    for channel, (label, (millivolts, milliamperes)) in enumerate(rails.items(), 1):
        put(f"{HWMON}{number}/in{channel}_label", f"{label}\n")
        put(f"{HWMON}{number}/in{channel}_input", f"{millivolts}\n")
        put(f"{HWMON}{number}/curr{channel}_input", f"{milliamperes}\n")


def total(sysroot: Sysroot) -> Reading:
    """What the rails add up to."""
    sensor = RailSensor(sysroot)
    sensor.discover()
    return sensor.read()["rails_power_w"]


def test_the_input_rail_is_the_total(put: Put, sysroot: Sysroot) -> None:
    """What hangs behind the input is not added to it."""
    chip(put, 0, "ina3221", {"VDD_IN": (5000, 1000), "VDD_CPU_GPU_CV": (5000, 400), "VDD_SOC": (5000, 200)})
    assert Reading(5.0, f"{HWMON}0 (VDD_IN)") == total(sysroot)


def test_without_an_input_rail_the_sum_counts_nothing_twice(put: Put, sysroot: Sysroot) -> None:
    """A rail that hangs on another is left out; channels that are not connected are, too."""
    chip(put, 3, "ina3221", {"VDD_GPU_SOC": (20000, 100), "VDD_CPU_CV": (20000, 50), "VIN_SYS_5V0": (5000, 400)})
    chip(put, 4, "ina3221", {"NC": (0, 0), "VDDQ_VDD2_1V8AO": (5000, 80)})
    assert total(sysroot).value == pytest.approx(2 + 1 + 2)


def test_a_rail_on_its_own_counts_where_its_parent_is_missing(put: Put, sysroot: Sysroot) -> None:
    """What would be contained in another rail counts if that other one is not measured."""
    chip(put, 4, "ina3221", {"VDDQ_VDD2_1V8AO": (5000, 80)})
    assert total(sysroot).value == pytest.approx(0.4)


def test_a_sum_of_which_a_part_is_dead_is_absent(put: Put, sysroot: Sysroot) -> None:
    """A part of the whole is not the whole."""
    chip(put, 3, "ina3221", {"VDD_GPU_SOC": (20000, 100), "VDD_CPU_CV": (20000, 50)})
    put(f"{HWMON}3/curr2_input", "")
    assert "curr2_input is empty" in total(sysroot).reason


def test_a_channel_without_a_label_counts_only_where_the_input_is_known(put: Put, sysroot: Sysroot) -> None:
    """Beside the input rail it changes nothing; in a sum it may be one more, so the sum is absent."""
    chip(put, 0, "ina3221", {"VDD_IN": (5000, 1000), "VDD_SOC": (5000, 200)})
    put(f"{HWMON}0/curr3_input", "300\n")
    assert total(sysroot).value == pytest.approx(5.0)
    put(f"{HWMON}0/in1_label", "VDD_CPU\n")
    assert "in3_label is not there, so nobody can tell" in total(sysroot).reason


def test_two_meters_are_not_guessed_at(put: Put, sysroot: Sysroot) -> None:
    """With several meters nobody can tell which one sees the board."""
    for number in (0, 1):
        put(f"{HWMON}{number}/name", "ina226\n")
        put(f"{HWMON}{number}/power1_input", "2500000\n")
    sensor = MeterSensor(sysroot)
    sensor.discover()
    assert "there are 2" in sensor.read()["meter_power_w"].reason


def test_a_meter_is_marked_an_estimate(put: Put, sysroot: Sysroot) -> None:
    """Its direction is unknown, and the note says so."""
    put(f"{HWMON}5/name", "ina226\n")
    put(f"{HWMON}5/power1_input", "2500000\n")
    sensor = MeterSensor(sysroot)
    sensor.discover()
    reading = sensor.read()["meter_power_w"]
    assert (2.5, "estimate") == (reading.value, reading.note.partition(":")[0])
