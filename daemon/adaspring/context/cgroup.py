"""What the memory limits of our own control group leave.

Formats: Documentation/admin-guide/cgroup-v2.rst (``memory.max``, ``memory.current``,
``memory.stat``) and cgroup-v1/memory.rst of the kernel. Kernels of Raspberry Pi OS switch the
memory controller off unless ``cgroup_enable=memory`` stands on their command line
(github.com/raspberrypi/linux/issues/6980).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from adaspring.context.model import Reading
from adaspring.context.sysroot import Sysroot, gather, take, within
from adaspring.errors import SensorError

_SELF = "/proc/self/cgroup"
_ROOT = "/sys/fs/cgroup"
#: Version 1 writes the greatest page count where there is no limit.
_NO_LIMIT = 1 << 60


@dataclass(frozen=True, slots=True)
class _Version:
    """Names of the files of one version of control groups."""

    root: str
    limit: str
    usage: str
    reclaimable: str


_V1 = _Version(f"{_ROOT}/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_V2 = _Version(_ROOT, "memory.max", "memory.current", "inactive_file")


class CgroupSensor:
    """``cgroup_available_mib``: what the tightest memory limit above this process leaves."""

    quantities = ("cgroup_available_mib",)
    interval_s = 0.0

    def __init__(self, sysroot: Sysroot) -> None:
        """Take the tree to read in."""
        self._sysroot = sysroot
        self._version = _V2
        self._limited: list[str] = []
        self._reason = "not looked for yet"

    def discover(self) -> None:
        """Find the groups between ours and the root that have a limit."""
        self._limited, self._reason = [], "no control group above this process has a memory limit"
        try:
            self._version, own = self._own()
        except SensorError as error:
            self._reason = str(error)
            return
        groups = [own, *(str(parent) for parent in PurePosixPath(own).parents)]
        paths = [f"{self._version.root}{group.rstrip('/')}" for group in groups]
        self._limited = [path for path in paths if self._limit(path) is not None]

    def read(self) -> Mapping[str, Reading]:
        """The least headroom; file pages that can be dropped count as free."""
        source = self._limited[0] if self._limited else _SELF
        return {"cgroup_available_mib": take(source, self._available_mib)}

    def _available_mib(self) -> float:
        left, reasons = gather(self._limited, self._headroom_mib)
        if not left:
            raise SensorError(reasons or self._reason)
        return min(left)

    def _headroom_mib(self, path: str) -> float:
        limit = self._limit(path)
        if limit is None:
            raise SensorError(f"{path}/{self._version.limit} sets no limit any more")
        usage = within(self._sysroot.number(f"{path}/{self._version.usage}"), 0, _NO_LIMIT, path)
        return max(0.0, limit - usage + self._reclaimable(path)) / 2**20

    def _reclaimable(self, path: str) -> int:
        for line in self._sysroot.text(f"{path}/memory.stat").splitlines():
            name, _, number = line.partition(" ")
            if name == self._version.reclaimable and number.isdecimal():
                return int(number)
        raise SensorError(f"{path}/memory.stat has no {self._version.reclaimable}")

    def _limit(self, path: str) -> int | None:
        try:
            limit = self._sysroot.number(f"{path}/{self._version.limit}")
        except SensorError:
            # "max", or the root, which has no limit.
            return None
        return limit if 0 < limit < _NO_LIMIT else None

    def _own(self) -> tuple[_Version, str]:
        for line in self._sysroot.text(_SELF).splitlines():
            number, controllers, path = (*line.split(":", 2), "", "")[:3]
            if number == "0" and not controllers and path.startswith("/"):
                return _V2, path
            if "memory" in controllers.split(",") and path.startswith("/"):
                return _V1, path
        raise SensorError(f"{_SELF} names no group with a memory controller")
