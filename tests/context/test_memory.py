from __future__ import annotations

from collections.abc import Callable

import pytest

from adaspring.context.memory import MemorySensor
from adaspring.context.sysroot import Sysroot

Put = Callable[[str, str], None]

# Documentation/filesystems/proc.rst
MEMINFO = """\
MemTotal:        3884396 kB
MemFree:         2913204 kB
MemAvailable:    3372032 kB
Buffers:           38120 kB
"""
# Documentation/accounting/psi.rst
PRESSURE = """\
some avg10=12.50 avg60=3.10 avg300=0.70 total=157656722
full avg10=8.00 avg60=2.00 avg300=0.50 total=55656722
"""


def test_available_memory_and_pressure_are_read(put: Put, sysroot: Sysroot) -> None:
    """MemAvailable counts in KiB; of the pressure, some task waiting over 10 s counts."""
    put("/proc/meminfo", MEMINFO)
    put("/proc/pressure/memory", PRESSURE)
    readings = MemorySensor(sysroot).read()
    assert readings["memory_available_mib"].value == 3372032 / 1024
    assert readings["memory_pressure_percent"].value == 12.5


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("MemTotal: 3884396 kB\n", "has no MemAvailable"),
        ("MemAvailable: lots kB\n", "not a number"),
        ("MemAvailable: -5 kB\n", "cannot be"),
        ("MemAvailable: nan kB\n", "cannot be"),
    ],
)
def test_broken_meminfo_is_absent(put: Put, sysroot: Sysroot, text: str, reason: str) -> None:
    """What does not tell the memory gives no value."""
    put("/proc/meminfo", text)
    reading = MemorySensor(sysroot).read()["memory_available_mib"]
    assert reading.value is None
    assert reason in reading.reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("full avg10=8.00\n", "no line that begins with some"),
        ("some avg60=8.00\n", "not a number"),
        ("some avg10\n", "not a number"),
        ("some avg10=250.00\n", "cannot be"),
    ],
)
def test_broken_pressure_is_absent(put: Put, sysroot: Sysroot, text: str, reason: str) -> None:
    """What does not tell the pressure gives no value."""
    put("/proc/pressure/memory", text)
    reading = MemorySensor(sysroot).read()["memory_pressure_percent"]
    assert reading.value is None
    assert reason in reading.reason


def test_a_kernel_without_pressure_is_told_how_to_get_it(sysroot: Sysroot) -> None:
    """Raspberry Pi OS builds PSI with CONFIG_PSI_DEFAULT_DISABLED; the reason names the option."""
    assert "psi=1" in MemorySensor(sysroot).read()["memory_pressure_percent"].reason
