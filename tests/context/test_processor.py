from __future__ import annotations

from collections.abc import Callable, Iterator

import psutil
import pytest

from adaspring.context.processor import FrequencySensor, LoadSensor, live_times, load_sensor, stat_times
from adaspring.context.sysroot import Sysroot
from adaspring.errors import SensorError

Put = Callable[[str, str], None]
POLICY = "/sys/devices/system/cpu/cpufreq/policy"


def capped(sysroot: Sysroot) -> float | None:
    """Whether the tree is capped."""
    sensor = FrequencySensor(sysroot)
    sensor.discover()
    return sensor.read()["frequency_capped"].value


# Documentation/admin-guide/pm/cpufreq.rst; a board with big and little cores has a policy for each kind.
@pytest.mark.parametrize(
    ("caps", "expected"),
    [
        ({"0": (1800000, 1800000)}, 0.0),
        ({"0": (1800000, 600000)}, 1.0),
        ({"0": (1800000, 1799000)}, 0.0),
        ({"0": (1800000, 1800000), "4": (2400000, 1200000)}, 1.0),
        ({"0": (1800000, 0)}, None),
        ({"0": (1800000, -1), "4": (2400000, 2400000)}, 0.0),
        ({}, None),
    ],
)
def test_a_cap_below_the_greatest_clock_is_seen(
    put: Put, sysroot: Sysroot, caps: dict[str, tuple[int, int]], expected: float | None
) -> None:
    """One domain that is capped is enough; domains that cannot be read count for nothing."""
    for name, (greatest, cap) in caps.items():
        put(f"{POLICY}{name}/cpuinfo_max_freq", f"{greatest}\n")
        put(f"{POLICY}{name}/scaling_max_freq", f"{cap}\n")
    assert expected == capped(sysroot)


def test_kernels_that_list_the_cores_alone_are_understood(put: Put, sysroot: Sysroot) -> None:
    """Before kernel 4.4 the files lay with each core only; a core without them does no harm."""
    put("/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq", "1500000\n")
    put("/sys/devices/system/cpu/cpu0/cpufreq/scaling_max_freq", "1000000\n")
    put("/sys/devices/system/cpu/cpu1/online", "0\n")
    assert capped(sysroot) == 1.0


def test_load_is_the_busy_share_between_two_reads(put: Put, sysroot: Sysroot) -> None:
    """Idle and I/O wait are not busy, and what guests used is not counted twice (proc.rst)."""
    put("/proc/stat", "cpu  100 0 100 700 100 0 0 0 50 0\ncpu0 100 0 100 700 100 0 0 0 50 0\n")
    sensor = load_sensor(sysroot, live=False)
    assert sensor.read()["cpu_percent"].value == 20
    put("/proc/stat", "cpu  130 0 130 720 120 0 0 0 80 0\n")
    assert sensor.read()["cpu_percent"].value == 60


def test_a_read_without_time_between_repeats_the_last(put: Put, sysroot: Sysroot) -> None:
    """Two looks within one clock tick of the kernel say the same."""
    put("/proc/stat", "cpu  1 0 1 6 0 0 0 0 0 0\n")
    sensor = load_sensor(sysroot, live=False)
    assert sensor.read() == sensor.read()


@pytest.mark.parametrize("text", ["cpu  1 2 3\n", "intr 5\n", "cpu  a b c d e f g h\n", "cpu\n"])
def test_a_broken_stat_is_absent(put: Put, sysroot: Sysroot, text: str) -> None:
    """What is not a line of times gives no value."""
    put("/proc/stat", text)
    with pytest.raises(SensorError, match="does not begin with the times"):
        stat_times(sysroot)()


def test_counters_that_step_back_stay_within_bounds() -> None:
    """Times of idle cores may step back; the load stays within 0 and 100, and no time at all is absent."""
    steps: Iterator[tuple[float, float]] = iter([(0.0, 0.0), (5.0, 10.0), (4.0, 12.0), (20.0, 14.0)])
    sensor = LoadSensor("counters", lambda: next(steps))
    values = [sensor.read()["cpu_percent"].value for _ in range(4)]
    assert [None, 50.0, 0.0, 100.0] == values


def test_this_machine_tells_its_times() -> None:
    """The times that psutil gives are busy and total, since boot."""
    busy, total = live_times()
    assert 0 <= busy <= total


def test_psutil_that_fails_is_a_reason(sysroot: Sysroot, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that hides its times gives no load."""

    def fail() -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(psutil, "cpu_times", fail)
    reading = load_sensor(sysroot, live=True).read()["cpu_percent"]
    assert reading.value is None
    assert "psutil cannot read" in reading.reason
