"""Memory that can still be had, and how much tasks wait for it.

Formats: Documentation/filesystems/proc.rst (meminfo) and Documentation/accounting/psi.rst
(pressure) of the kernel.
"""

from __future__ import annotations

from collections.abc import Mapping

from adaspring.context.model import Reading
from adaspring.context.sysroot import Sysroot, take, within
from adaspring.errors import SensorError

_MEMINFO = "/proc/meminfo"
_PRESSURE = "/proc/pressure/memory"
#: 64 TiB, more than any board has.
_MOST_MIB = float(1 << 26)


class MemorySensor:
    """``memory_available_mib`` and ``memory_pressure_percent``."""

    quantities = ("memory_available_mib", "memory_pressure_percent")
    interval_s = 0.0

    def __init__(self, sysroot: Sysroot) -> None:
        """Take the tree to read in."""
        self._sysroot = sysroot

    def discover(self) -> None:
        """Nothing to look for: the paths are fixed."""

    def read(self) -> Mapping[str, Reading]:
        """Both."""
        return {
            "memory_available_mib": take(_MEMINFO, self._available_mib),
            "memory_pressure_percent": take(_PRESSURE, self._pressure_percent),
        }

    def _available_mib(self) -> float:
        for line in self._sysroot.text(_MEMINFO).splitlines():
            name, _, rest = line.partition(":")
            if name == "MemAvailable":
                kib = _parse(rest.removesuffix("kB"), _MEMINFO)
                return within(kib / 1024, 0.0, _MOST_MIB, _MEMINFO)
        raise SensorError(f"{_MEMINFO} has no MemAvailable (kernels have it since 3.14)")

    def _pressure_percent(self) -> float:
        try:
            text = self._sysroot.text(_PRESSURE)
        except SensorError as error:
            # Raspberry Pi OS builds it in and switches it off.
            raise SensorError(f"{error}; add psi=1 to the kernel's command line") from error
        for line in text.splitlines():
            words = line.split()
            if words[:1] == ["some"]:
                fields = dict(word.partition("=")[::2] for word in words[1:])
                return within(_parse(fields.get("avg10", ""), _PRESSURE), 0.0, 100.0, _PRESSURE)
        raise SensorError(f"{_PRESSURE} has no line that begins with some")


def _parse(text: str, path: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise SensorError(f"{path} holds {text[:40]!r}, not a number") from None
