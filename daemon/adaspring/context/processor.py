"""Load of the processor and caps on its clock.

Formats: Documentation/admin-guide/pm/cpufreq.rst and Documentation/filesystems/proc.rst
(stat, loadavg) of the kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import psutil

from adaspring.context.model import Reading
from adaspring.context.sysroot import Sysroot, gather, take, within
from adaspring.errors import SensorError

_CPU = "/sys/devices/system/cpu"
_STAT = "/proc/stat"
_LOAD_AVERAGE = "/proc/loadavg"
#: No board runs so many tasks at once.
_MOST_TASKS = 1e5
#: A cap that is nearer to the greatest clock is rounding.
_CAPPED_BELOW = 0.99
#: 1 THz.
_MOST_KHZ = 1e9
#: Fields of the line ``cpu``: user nice system idle iowait irq softirq steal. What guests used
#: comes behind and is counted in user already.
_FIELDS = 8
_IDLE = slice(3, 5)

#: Busy and total time of all cores since boot, in any one unit.
CpuTimes = Callable[[], tuple[float, float]]


class FrequencySensor:
    """``frequency_mhz``, ``frequency_cap_mhz`` and ``frequency_capped``.

    The quickest core now, what the quickest may run at, and 1 where a core is held back, else 0.
    A core is held back where it may not run at its greatest clock.

    The kernel lowers the cap when the processor gets too hot. A cap that a person has set
    looks the same, and means the same for latency.
    """

    quantities = ("frequency_mhz", "frequency_cap_mhz", "frequency_capped")
    interval_s = 0.0

    def __init__(self, sysroot: Sysroot) -> None:
        """Take the tree to read in."""
        self._sysroot = sysroot
        self._policies: list[tuple[str, int]] = []

    def discover(self) -> None:
        """List the frequency domains and their greatest clocks."""
        paths = self._sysroot.entries(f"{_CPU}/cpufreq", "policy*")
        if not paths:
            paths = [f"{cpu}/cpufreq" for cpu in self._sysroot.entries(_CPU, "cpu[0-9]*")]
        self._policies, _ = gather(paths, self._policy)

    def read(self) -> Mapping[str, Reading]:
        """All three; domains that cannot be read count for nothing."""
        clocks_khz, unclocked = gather(self._policies, lambda policy: self._khz(policy, "scaling_cur_freq"))
        caps, uncapped = gather(self._policies, self._cap)
        return {
            "frequency_mhz": _greatest([khz / 1e3 for khz in clocks_khz], unclocked),
            "frequency_cap_mhz": _greatest([khz / 1e3 for khz, _ in caps], uncapped),
            "frequency_capped": _greatest([float(held_back) for _, held_back in caps], uncapped),
        }

    def _cap(self, policy: tuple[str, int]) -> tuple[float, bool]:
        cap_khz = self._khz(policy, "scaling_max_freq")
        return cap_khz, cap_khz < _CAPPED_BELOW * policy[1]

    def _khz(self, policy: tuple[str, int], name: str) -> float:
        path = f"{policy[0]}/{name}"
        return within(self._sysroot.number(path), 1, _MOST_KHZ, path)

    def _policy(self, path: str) -> tuple[str, int]:
        return path, self._sysroot.number(f"{path}/cpuinfo_max_freq")


def _greatest(values: list[float], reasons: str) -> Reading:
    source = f"{_CPU}/cpufreq"
    if not values:
        return Reading(None, source, reasons or f"{_CPU} lists no frequency domain")
    return Reading(max(values), source)


class LoadAverageSensor:
    """``load_average_1min``: tasks that ran, waited for a core or for a disk, on average over the last minute."""

    quantities = ("load_average_1min",)
    interval_s = 5.0  # as often as the kernel works it out

    def __init__(self, sysroot: Sysroot) -> None:
        """Take the tree to read in."""
        self._sysroot = sysroot

    def discover(self) -> None:
        """Nothing to look for: the path is fixed."""

    def read(self) -> Mapping[str, Reading]:
        """The average."""
        return {"load_average_1min": take(_LOAD_AVERAGE, self._average)}

    def _average(self) -> float:
        text = self._sysroot.text(_LOAD_AVERAGE)
        try:
            average = float(text.split()[0])
        except ValueError:
            raise SensorError(f"{_LOAD_AVERAGE} holds {text[:40]!r}, which does not begin with a number") from None
        return within(average, 0.0, _MOST_TASKS, _LOAD_AVERAGE)


class LoadSensor:
    """``cpu_percent``: load of all cores together between two reads; the first time since boot."""

    quantities = ("cpu_percent",)
    interval_s = 0.0

    def __init__(self, source: str, times: CpuTimes) -> None:
        """Take where the times come from.

        Args:
            source: What to call it.
            times: Gives them.
        """
        self._source = source
        self._times = times
        self._last = (0.0, 0.0)
        self._percent: float | None = None

    def discover(self) -> None:
        """Nothing to look for."""

    def read(self) -> Mapping[str, Reading]:
        """The load since the last read."""
        return {"cpu_percent": take(self._source, self._since_last)}

    def _since_last(self) -> float:
        busy, total = self._times()
        elapsed = total - self._last[1]
        if elapsed > 0:
            percent = 100 * (busy - self._last[0]) / elapsed
            # The counters of a core that sleeps may step back a little.
            self._percent = min(max(percent, 0.0), 100.0)
        self._last = (busy, total)
        if self._percent is None:
            raise SensorError(f"{self._source} says that no time has passed")
        return self._percent


def live_times() -> tuple[float, float]:
    """Times of this machine, in seconds.

    Raises:
        SensorError: If the kernel does not tell.
    """
    try:
        times = psutil.cpu_times()
    # What psutil makes of a file that is cut short or mangled depends on where it ends.
    except (OSError, RuntimeError, ValueError, TypeError, IndexError) as error:
        raise SensorError(f"psutil cannot read the times of the processor: {error}") from error
    fields = [float(value) for value in times[:_FIELDS]]
    return sum(fields) - sum(fields[_IDLE]), sum(fields)


def stat_times(sysroot: Sysroot) -> CpuTimes:
    """Times from the ``/proc/stat`` of a tree, in its clock ticks."""

    def read() -> tuple[float, float]:
        name, *words = sysroot.text(_STAT).partition("\n")[0].split()
        try:
            fields = [float(word) for word in words[:_FIELDS]]
        except ValueError:
            fields = []
        if name != "cpu" or len(fields) < _FIELDS:
            raise SensorError(f"{_STAT} does not begin with the times of all cores")
        return sum(fields) - sum(fields[_IDLE]), sum(fields)

    return read


def load_sensor(sysroot: Sysroot, *, live: bool) -> LoadSensor:
    """The load of this machine through psutil, or that of a tree that stands for another."""
    return LoadSensor("psutil", live_times) if live else LoadSensor(_STAT, stat_times(sysroot))
