"""What Jetson boards tell beside their rails: over-current, power mode, load of the GPU.

NVIDIA documents the over-current counters in the Jetson Linux Developer Guide ("Over-Current
Throttling": ``oc*_event_cnt`` of the chip ``soctherm_oc``, Orin only) and nvpmodel, which keeps its
mode in ``/var/lib/nvpmodel/status`` as ``pmode:0002`` and the names of all modes in
``/etc/nvpmodel.conf``. The driver nvgpu shows ``load`` in tenths of a percent; the GPU is found as
a device of the devfreq class, because its path differs from release to release
(gpu.0, 17000000.ga10b, 17000000.gpu, 57000000.gpu).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from adaspring.context.hwmon import HWMON, chips
from adaspring.context.model import Reading
from adaspring.context.sysroot import Sysroot, gather, take, within
from adaspring.errors import SensorError

_DEVFREQ = "/sys/class/devfreq"
_PLATFORM_GPUS = ("/sys/devices/gpu.0", "/sys/devices/platform/gpu.0")
_GPU = re.compile(r"\.(gpu|ga10b|gv11b|gp10b|gm20b)$")
_STATUS = "/var/lib/nvpmodel/status"
_MODES = "/etc/nvpmodel.conf"


class OverCurrentSensor:
    """``over_current_events`` since boot, and ``over_current``: 1 if there was one since the last read, else 0."""

    quantities = ("over_current_events", "over_current")
    interval_s = 0.0
    _MOST = float(1 << 32)

    def __init__(self, sysroot: Sysroot) -> None:
        """Take the tree to read in."""
        self._sysroot = sysroot
        self._counters: list[str] = []
        self._last: float | None = None

    def discover(self) -> None:
        """Find the counters of the chip by its name."""
        self._counters = [
            counter
            for chip in chips(self._sysroot, ("soctherm_oc",))
            for counter in self._sysroot.entries(chip, "oc*_event_cnt")
        ]

    def read(self) -> Mapping[str, Reading]:
        """The sum of all counters, and whether it has grown."""
        events = take(HWMON, self._events)
        if events.value is None:
            self._last = None
            return {"over_current_events": events, "over_current": events}
        grown = self._last is not None and events.value > self._last
        self._last = events.value
        return {"over_current_events": events, "over_current": Reading(float(grown), events.source)}

    def _events(self) -> float:
        if not self._counters:
            raise SensorError(f"{HWMON} has no chip soctherm_oc")
        # All or none: a sum without one of them would shrink, and grow when it comes back.
        return float(sum(within(self._sysroot.number(path), 0, self._MOST, path) for path in self._counters))


class PowerModeSensor:
    """``power_mode``: the number of the nvpmodel mode; the source gives its name."""

    quantities = ("power_mode",)
    interval_s = 10.0
    _MOST = 99

    def __init__(self, sysroot: Sysroot) -> None:
        """Take the tree to read in."""
        self._sysroot = sysroot
        self._names: dict[int, str] = {}

    def discover(self) -> None:
        """Read the names of the modes."""
        try:
            text = self._sysroot.text(_MODES, whole=True)
        except SensorError:
            text = ""
        found = re.findall(r"^<\s*POWER_MODEL\s+ID=(\d{1,2})\s+NAME=(\S+)\s*>", text, re.MULTILINE)
        self._names = {int(number): name for number, name in found}

    def read(self) -> Mapping[str, Reading]:
        """The mode that was set last."""
        reading = take(_STATUS, self._mode)
        if reading.value is not None:
            name = self._names.get(int(reading.value), "no name")
            reading = Reading(reading.value, f"nvpmodel ({name})")
        return {"power_mode": reading}

    def _mode(self) -> float:
        match = re.search(r"^pmode:(\d{1,4})\b", self._sysroot.text(_STATUS), re.MULTILINE)
        if match is None:
            raise SensorError(f"{_STATUS} has no line pmode")
        return within(int(match[1]), 0, self._MOST, _STATUS)


class GpuSensor:
    """``gpu_percent``: load of the GPU of a Jetson, 0 to 100."""

    quantities = ("gpu_percent",)
    interval_s = 0.0
    _FULL = 1000

    def __init__(self, sysroot: Sysroot) -> None:
        """Take the tree to read in."""
        self._sysroot = sysroot
        self._paths: list[str] = []

    def discover(self) -> None:
        """Find the GPU by the name of its devfreq device, on kernel 4.9 by its platform device."""
        devices = [f"{path}/device" for path in self._sysroot.entries(_DEVFREQ) if _GPU.search(path)]
        self._paths = [f"{path}/load" for path in (*devices, *_PLATFORM_GPUS) if self._sysroot.exists(f"{path}/load")]

    def read(self) -> Mapping[str, Reading]:
        """The load of the last moments."""
        return {"gpu_percent": take(self._paths[0] if self._paths else _DEVFREQ, self._load)}

    def _load(self) -> float:
        loads, reasons = gather(self._paths[:1], self._sysroot.number)
        if not loads:
            raise SensorError(reasons or f"{_DEVFREQ} lists no GPU that tells its load")
        return within(loads[0], 0, self._FULL, self._paths[0]) / 10
