from __future__ import annotations

from collections.abc import Callable

import pytest

from adaspring.context.cgroup import CgroupSensor
from adaspring.context.model import Reading
from adaspring.context.sysroot import Sysroot

Put = Callable[[str, str], None]
MIB = 2**20


def sense(sysroot: Sysroot) -> Reading:
    """The reading of the tree."""
    sensor = CgroupSensor(sysroot)
    sensor.discover()
    return sensor.read()["cgroup_available_mib"]


def limit(put: Put, group: str, limit_mib: float, used_mib: float, inactive_mib: float = 0) -> None:
    """A group of version 2 with a limit."""
    base = f"/sys/fs/cgroup{group}"
    put(f"{base}/memory.max", f"{int(limit_mib * MIB)}\n")
    put(f"{base}/memory.current", f"{int(used_mib * MIB)}\n")
    put(f"{base}/memory.stat", f"anon 0\ninactive_file {int(inactive_mib * MIB)}\n")


def test_the_tightest_limit_above_us_counts(put: Put, sysroot: Sysroot) -> None:
    """Groups nest, and each may set a limit; pages of files that can be dropped are free."""
    put("/proc/self/cgroup", "0::/system.slice/adaspringd.service\n")
    limit(put, "/system.slice/adaspringd.service", 500, 100, 20)
    limit(put, "/system.slice", 800, 700)
    assert sense(sysroot) == Reading(100.0, "/sys/fs/cgroup/system.slice/adaspringd.service")


def test_a_limit_that_is_used_up_leaves_nothing(put: Put, sysroot: Sysroot) -> None:
    """Usage may run a little past the limit."""
    put("/proc/self/cgroup", "0::/a\n")
    limit(put, "/a", 100, 101)
    assert sense(sysroot).value == 0


def test_version_one_is_understood(put: Put, sysroot: Sysroot) -> None:
    """The memory controller has a hierarchy and names of its own there."""
    put("/proc/self/cgroup", "9:cpu,cpuacct:/x\n8:memory:/box\n")
    base = "/sys/fs/cgroup/memory/box"
    put(f"{base}/memory.limit_in_bytes", f"{300 * MIB}\n")
    put(f"{base}/memory.usage_in_bytes", f"{100 * MIB}\n")
    put(f"{base}/memory.stat", f"total_inactive_file {10 * MIB}\n")
    assert sense(sysroot).value == pytest.approx(210)


@pytest.mark.parametrize(
    ("cgroup", "reason"),
    [
        ("0::/free\n", "no control group above this process has a memory limit"),
        ("1:name=systemd:/\n", "names no group with a memory controller"),
        ("garbage\n", "names no group with a memory controller"),
    ],
)
def test_without_a_limit_there_is_no_reading(put: Put, sysroot: Sysroot, cgroup: str, reason: str) -> None:
    """A group without a limit leaves everything, so this says nothing."""
    put("/proc/self/cgroup", cgroup)
    put("/sys/fs/cgroup/free/memory.max", "max\n")
    assert reason in sense(sysroot).reason
