from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from adaspring.context.processor import (
    FrequencySensor,
    LoadAverageSensor,
    LoadSensor,
    live_times,
    load_sensor,
    stat_times,
)
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


def test_the_cap_of_the_quickest_core_is_told(put: Put, sysroot: Sysroot) -> None:
    """Of big and little cores, what the quickest may run at and what it runs at."""
    for name, (greatest, cap, clock) in {"0": (1800000, 1800000, 600000), "4": (2400000, 2000000, 1900000)}.items():
        put(f"{POLICY}{name}/cpuinfo_max_freq", f"{greatest}\n")
        put(f"{POLICY}{name}/scaling_max_freq", f"{cap}\n")
        put(f"{POLICY}{name}/scaling_cur_freq", f"{clock}\n")
    sensor = FrequencySensor(sysroot)
    sensor.discover()
    readings = sensor.read()
    assert (2000.0, 1900.0) == (readings["frequency_cap_mhz"].value, readings["frequency_mhz"].value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0.37 0.20 0.15 1/123 4567\n", 0.37), ("-1.00 0 0 1/1 1\n", None), ("nan 0 0 1/1 1\n", None), ("a b\n", None)],
)
def test_the_load_average_is_that_of_the_last_minute(
    put: Put, sysroot: Sysroot, text: str, expected: float | None
) -> None:
    """The first of the three (proc.rst); what is no average is absent."""
    put("/proc/loadavg", text)
    assert expected == LoadAverageSensor(sysroot).read()["load_average_1min"].value


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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cpu  100 0 100 700 100 0 0 0 0 0\n", "(2.0, 10.0)"),
        ("cpu  100 0 100 seven 100 0 0 0 0 0\n", "psutil cannot read the times of the processor"),
        ("", "psutil cannot read the times of the processor"),
    ],
)
def test_psutil_reads_the_file_of_the_kernel(tmp_path: Path, text: str, expected: str) -> None:
    """With another file mounted over /proc/stat psutil tells what it says, and garbage is a reason."""
    (tmp_path / "stat").write_text(text)
    read = (
        "from adaspring.context.processor import live_times\n"
        "from adaspring.errors import SensorError\n"
        "try:\n    print(live_times())\n"
        "except SensorError as error:\n    print(error)\n"
    )
    script = f"mount --bind {tmp_path}/stat /proc/stat 2>/dev/null || exit 77; exec {sys.executable} -c '{read}'"
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("there is no unshare here")
    done = subprocess.run(
        [unshare, "--mount", "sh", "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip("mounting needs more rights than this user has")
    assert expected in done.stdout, done.stderr
