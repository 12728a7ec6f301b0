"""The context monitor: reads every sensor, smooths, and says why what is missing is missing."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Protocol

from adaspring.context.cgroup import CgroupSensor
from adaspring.context.crew import DEADLINE_S, Crew, Job
from adaspring.context.jetson import GpuSensor, OverCurrentSensor, PowerModeSensor
from adaspring.context.jetson_stats import JetsonStatsSensor
from adaspring.context.memory import MemorySensor
from adaspring.context.model import Context, Reading
from adaspring.context.processor import FrequencySensor, LoadAverageSensor, load_sensor
from adaspring.context.rails import MeterSensor, RailSensor
from adaspring.context.raspberry_pi import FirmwareSensor, PmicSensor, VoltageSensor
from adaspring.context.sensor import Sensor
from adaspring.context.smoothing import EventActivity, EventRate, MovingAverage, Rise, Smoothing
from adaspring.context.supply import SupplySensor
from adaspring.context.sysroot import Sysroot
from adaspring.context.thermal import ThermalSensor
from adaspring.context.vcgencmd import firmware
from adaspring.context.wall_clock import time_of_day
from adaspring.context.watch import RESCAN_S, Watch

_log = logging.getLogger(__name__)

#: A suspension that is shorter makes no reading stale, in seconds.
_SUSPENDED_S = 1.0

#: Where the power of the whole board is known from, the most certain first.
_POWER = ("battery_power_w", "rails_power_w", "meter_power_w", "jetson_stats_power_w", "pmic_power_w")
#: What says that the processor is slowed down, or about to be.
_THROTTLING = ("frequency_capped", "firmware_throttled", "supply_undervoltage", "over_current")


def sensors_of(sysroot: Path) -> tuple[Sensor, ...]:
    """Every sensor that AdaSpring knows, looking into a tree.

    Args:
        sysroot: Root of the tree; ``/`` is this device.
    """
    tree, live = Sysroot(sysroot), sysroot == Path("/")
    vcgencmd = firmware(tree, live=live)
    return (
        SupplySensor(tree),
        ThermalSensor(tree),
        FrequencySensor(tree),
        FirmwareSensor(tree, vcgencmd),
        VoltageSensor(tree),
        PmicSensor(tree, vcgencmd),
        RailSensor(tree),
        MeterSensor(tree),
        OverCurrentSensor(tree),
        PowerModeSensor(tree),
        GpuSensor(tree),
        JetsonStatsSensor(live=live),
        MemorySensor(tree),
        CgroupSensor(tree),
        load_sensor(tree, live=live),
        LoadAverageSensor(tree),
    )


def suspended_s() -> float:
    """Time that this machine has spent suspended since boot, in seconds."""
    # The one clock counts it, the other does not (clock_gettime(2)).
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)


class Counters(Protocol):
    """What the monitor asks of the daemon itself."""

    @property
    def received(self) -> int:
        """Frames received since start."""

    @property
    def latency_p95_us(self) -> float | None:
        """95th percentile of the compute of recent frames, in microseconds; None before the first."""

    @property
    def queue_depth(self) -> int:
        """Frames that wait."""

    @property
    def deadline_us(self) -> float | None:
        """What 95 of 100 recent frames with a deadline were given at least, in microseconds; None before the first."""


class Monitor:
    """Turns sensors into contexts."""

    def __init__(
        self,
        sysroot: Path,
        counters: Counters,
        *,
        clock: Callable[[], float] = monotonic,
        suspended: Callable[[], float] = suspended_s,
        time_of_day: Callable[[], Reading] = time_of_day,
        smoothing: Smoothing = Smoothing(),  # noqa: B008 - frozen
        sensors: tuple[Sensor, ...] | None = None,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        """Wire the sensors; nothing is read yet.

        Args:
            sysroot: Root of the tree to read in; ``/`` is this device.
            counters: Of the daemon.
            clock: Monotonic, in seconds.
            suspended: Time spent suspended since boot, in seconds; may step while the clock stands still.
            time_of_day: Seconds since local midnight, or why they are not known.
            smoothing: Time constants.
            sensors: To read instead of all that are known.
            deadline_s: How long one sensor may hold a tick, in seconds.
        """
        # Each looks for its devices in a rhythm of its own, so that no tick has to look for all of them.
        self._watches = [
            Watch(sensor, deadline_s, RESCAN_S - place) for place, sensor in enumerate(sensors or sensors_of(sysroot))
        ]
        self._crew = Crew(deadline_s)
        self._counters = counters
        self._clock = clock
        self._suspended = suspended
        self._suspended_s = suspended()
        self._temperature = MovingAverage(smoothing.temperature_s)
        self._temperature_rise = Rise(smoothing.temperature_rise_s)
        self._memory = MovingAverage(smoothing.memory_s)
        self._queue = MovingAverage(smoothing.queue_s)
        self._time_of_day = time_of_day
        self._event_rate = EventRate(smoothing.event_rate_s)
        self._event_activity = EventActivity(smoothing.event_rate_s)
        self._readings: dict[str, Reading] = {}
        self._last: dict[str, float] = {}

    @property
    def readings(self) -> dict[str, Reading]:
        """What each sensor said at the last tick, before smoothing, with its source."""
        return dict(self._readings)

    def tick(self) -> Context:
        """Read everything that is due once."""
        now_s = self._clock()
        self._mind_suspension(now_s)
        self._read(now_s)
        readings: dict[str, Reading] = {}
        for watch in self._watches:
            readings.update(watch.readings(now_s))
        readings["power_w"] = _first([readings[name] for name in _POWER if name in readings])
        readings["memory_available_mib"] = _least(
            [readings[name] for name in ("memory_available_mib", "cgroup_available_mib") if name in readings]
        )
        readings["throttled"] = _any([readings[name] for name in _THROTTLING if name in readings])
        event_rate_hz = self._event_rate.update(self._counters.received, now_s)
        event_state = self._event_activity.update(self._counters.received, now_s)
        readings["event_rate_hz"] = _own(event_rate_hz, "frames received", "a rate takes two looks")
        latency_us = self._counters.latency_p95_us
        readings["latency_p95_us"] = _own(
            latency_us, "frames answered", "the active subnet has answered too few frames"
        )
        deadline_us = self._counters.deadline_us
        readings["deadline_us"] = _own(deadline_us, "frames received", "no recent frame had a deadline")
        readings["time_of_day_s"] = self._time_of_day()
        temperature_c = self._temperature.update(readings["temperature_c"].value, now_s)
        rise = self._temperature_rise.update(temperature_c, now_s)
        why = readings["temperature_c"].reason or "a rise takes two looks"
        readings["temperature_rise_c_per_min"] = _own(rise, "the temperature", why)
        self._readings = readings

        values = {name: readings[name].value if name in readings else None for name in _QUANTITIES}
        reasons = {name: readings[name].reason for name, value in values.items() if value is None and name in readings}
        return Context(
            at_s=now_s,
            battery_percent=values["battery_percent"],
            external_power=_truth(values["external_power"]),
            power_w=values["power_w"],
            temperature_c=temperature_c,
            temperature_rise_c_per_min=rise,
            throttled=_truth(values["throttled"]),
            memory_available_mib=self._memory.update(values["memory_available_mib"], now_s),
            memory_pressure_percent=values["memory_pressure_percent"],
            cpu_percent=values["cpu_percent"],
            event_rate_hz=event_rate_hz,
            event_state=event_state,
            latency_p95_us=latency_us,
            queue_depth=self._queue.update(float(self._counters.queue_depth), now_s),
            deadline_us=deadline_us,
            time_of_day_s=values["time_of_day_s"],
            reasons=reasons,
            lost=self._lost(values),
        )

    def _lost(self, values: Mapping[str, float | None]) -> dict[str, float]:
        lost = {}
        for name in _LASTING:
            value = values[name]
            if value is not None:
                self._last[name] = value
            elif name in self._last:
                lost[name] = self._last[name]
        return lost

    def _mind_suspension(self, now_s: float) -> None:
        suspended_s = self._suspended()
        passed_s, self._suspended_s = suspended_s - self._suspended_s, suspended_s
        if passed_s < _SUSPENDED_S:
            return
        _log.info("resumed after %.0f s of suspension: reading every sensor anew", passed_s)
        for watch in self._watches:
            watch.forget(now_s)
        for average in (self._temperature, self._temperature_rise, self._memory):
            average.update(None, now_s)

    def _read(self, now_s: float) -> None:
        prompt: dict[Job, Watch] = {}
        for watch in self._watches:
            if not watch.is_due(now_s):
                continue
            watch.begin(now_s)
            job: Job = partial(watch.look, now_s)
            if watch.slow:
                self._crew.detach(job)
            else:
                prompt[job] = watch
        for late in self._crew.run(list(prompt)):
            prompt[late].slow = True


#: Quantities of a context that sensors give.
_QUANTITIES = (
    "battery_percent",
    "external_power",
    "power_w",
    "temperature_c",
    "temperature_rise_c_per_min",
    "throttled",
    "memory_available_mib",
    "memory_pressure_percent",
    "cpu_percent",
    "event_rate_hz",
    "latency_p95_us",
    "deadline_us",
    "time_of_day_s",
)


#: Those that go only if their sensor fails.
_LASTING = ("battery_percent", "temperature_c", "memory_available_mib")


def _any(readings: list[Reading]) -> Reading:
    """Whether one of them says so; known if one is known."""
    known = [reading for reading in readings if reading.value is not None]
    if not known:
        return Reading(None, "", "; ".join(reading.reason for reading in readings))
    return max(known, key=lambda reading: reading.value or 0.0)


def _least(readings: list[Reading]) -> Reading:
    """The first, unless another one is known to be less."""
    if not readings or readings[0].value is None:
        return readings[0] if readings else Reading(None, "", "no sensor reads it")
    return min((reading for reading in readings if reading.value is not None), key=lambda reading: reading.value or 0.0)


def _first(readings: list[Reading]) -> Reading:
    """The first that says anything."""
    for reading in readings:
        if reading.value is not None:
            return reading
    return Reading(None, "", "; ".join(reading.reason for reading in readings))


def _own(value: float | None, source: str, reason: str) -> Reading:
    return Reading(value, source, "" if value is not None else reason)


def _truth(value: float | None) -> bool | None:
    return None if value is None else value > 0
