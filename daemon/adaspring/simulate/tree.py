"""A live tree of files that stands for a board: what sysfs and procfs would show of a state.

Formats are those that the kernel documents: Documentation/ABI/testing/sysfs-class-power,
driver-api/thermal/sysfs-api.rst, admin-guide/pm/cpufreq.rst, filesystems/proc.rst and
accounting/psi.rst.
"""

from __future__ import annotations

import os
from pathlib import Path

from adaspring.simulate.device import DayState

#: Model in the device tree; no device profile claims it, so the kind of machine decides.
DEFAULT_MODEL = "AdaSpring simulated board"

_BATTERY = "sys/class/power_supply/BAT0"
_SUPPLY = "sys/class/power_supply/AC"
_ZONE = "sys/class/thermal/thermal_zone0"
_CPUFREQ = "sys/devices/system/cpu/cpufreq/policy0"
#: Clock ticks per second in /proc/stat (USER_HZ).
_TICKS = 100
_FULL = 100.0


class LiveTree:
    """Writes states as files. A reader finds each file whole: it is written beside and renamed."""

    def __init__(self, root: Path, *, model: str = DEFAULT_MODEL) -> None:
        """Begin a tree.

        Args:
            root: Folder that becomes the sysroot; created if it is not there.
            model: What the device tree names the board, for example
                ``"Raspberry Pi 4 Model B Rev 1.4"``.
        """
        self.root = root
        self._model = model
        self._written: dict[str, str] = {}
        self._time_s: float | None = None
        self._busy_ticks = 0.0
        self._idle_ticks = 0.0

    def write(self, state: DayState) -> None:
        """Bring every file up to a state; what did not change is not touched.

        Raises:
            OSError: If the folder cannot be written.
        """
        if not self._written:
            self._link_cores(state.cores)
        for path, text in {
            "sys/firmware/devicetree/base/model": f"{self._model}\0",
            **_battery(state),
            **_thermal(state),
            **_cpufreq(state),
            **_memory(state),
            "proc/stat": self._stat(state),
        }.items():
            self._replace(path, text)

    def _replace(self, path: str, text: str) -> None:
        if self._written.get(path) == text:
            return
        target = self.root / path
        if path not in self._written:
            target.parent.mkdir(parents=True, exist_ok=True)
        beside = target.with_name(f".{target.name}.new")
        beside.write_text(text, encoding="utf-8")
        os.replace(beside, target)  # noqa: PTH105 - the atomic rename is the point
        self._written[path] = text

    def _link_cores(self, cores: int) -> None:
        """All cores share one frequency domain, as on boards of one cluster."""
        for core in range(cores):
            link = self.root / f"sys/devices/system/cpu/cpu{core}/cpufreq"
            if not link.is_symlink():
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to("../cpufreq/policy0")

    def _stat(self, state: DayState) -> str:
        """Counters since boot: user and idle time grow with the simulated time."""
        elapsed_s = 1.0 if self._time_s is None else state.time_s - self._time_s
        self._time_s = state.time_s
        ticks = elapsed_s * _TICKS * state.cores
        self._busy_ticks += ticks * state.cpu_percent / 100
        self._idle_ticks += ticks * (1 - state.cpu_percent / 100)
        return f"cpu  {self._busy_ticks:.0f} 0 0 {self._idle_ticks:.0f} 0 0 0 0 0 0\nbtime 0\n"


def _battery(state: DayState) -> dict[str, str]:
    full_uah = round(state.capacity_mah * 1e3)
    status = "Discharging"
    if state.plugged:
        status = "Charging" if state.battery_percent < _FULL else "Full"
    return {
        f"{_BATTERY}/type": "Battery\n",
        f"{_BATTERY}/present": "1\n",
        f"{_BATTERY}/technology": "Li-ion\n",
        f"{_BATTERY}/status": f"{status}\n",
        f"{_BATTERY}/capacity": f"{state.battery_percent:.0f}\n",
        f"{_BATTERY}/charge_full_design": f"{full_uah}\n",
        f"{_BATTERY}/charge_full": f"{full_uah}\n",
        f"{_BATTERY}/charge_now": f"{full_uah * state.battery_percent / 100:.0f}\n",
        f"{_BATTERY}/current_now": f"{state.current_ma * 1e3:.0f}\n",
        f"{_BATTERY}/voltage_now": f"{state.voltage_v * 1e6:.0f}\n",
        f"{_SUPPLY}/type": "Mains\n",
        f"{_SUPPLY}/online": f"{state.plugged:d}\n",
    }


def _thermal(state: DayState) -> dict[str, str]:
    return {
        f"{_ZONE}/type": "cpu-thermal\n",
        f"{_ZONE}/mode": "enabled\n",
        f"{_ZONE}/temp": f"{state.temperature_c * 1e3:.0f}\n",
    }


def _cpufreq(state: DayState) -> dict[str, str]:
    full_khz, cap_khz = round(state.full_clock_mhz * 1e3), round(state.clock_mhz * 1e3)
    cores = " ".join(str(core) for core in range(state.cores))
    return {
        f"{_CPUFREQ}/related_cpus": f"{cores}\n",
        f"{_CPUFREQ}/cpuinfo_max_freq": f"{full_khz}\n",
        f"{_CPUFREQ}/scaling_max_freq": f"{cap_khz}\n",
        f"{_CPUFREQ}/scaling_cur_freq": f"{cap_khz}\n",
    }


def _memory(state: DayState) -> dict[str, str]:
    available_kib = state.memory_available_mib * 1024
    pressure = state.memory_pressure_percent
    return {
        "proc/meminfo": (
            f"MemTotal:       {state.memory_total_mib * 1024:8.0f} kB\n"
            # About half of what can be had is not in use for caches either.
            f"MemFree:        {available_kib / 2:8.0f} kB\n"
            f"MemAvailable:   {available_kib:8.0f} kB\n"
        ),
        "proc/pressure/memory": (
            f"some avg10={pressure:.2f} avg60={pressure:.2f} avg300={pressure:.2f} total=0\n"
            f"full avg10={pressure / 2:.2f} avg60={pressure / 2:.2f} avg300={pressure / 2:.2f} total=0\n"
        ),
    }
