"""The context monitor: reads every sensor, smooths, and says why what is missing is missing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic
from typing import Protocol

from adaspring.context.jetson import JetsonStatsSensor
from adaspring.context.memory import MemorySensor
from adaspring.context.model import Context, Reading
from adaspring.context.processor import FrequencySensor, load_sensor
from adaspring.context.raspberry_pi import FirmwareSensor
from adaspring.context.sensor import Sensor
from adaspring.context.smoothing import EventRate, MovingAverage, Smoothing
from adaspring.context.supply import SupplySensor
from adaspring.context.sysroot import Sysroot
from adaspring.context.thermal import ThermalSensor

_log = logging.getLogger(__name__)

#: How often devices are looked for anew, in seconds.
RESCAN_S = 60.0
#: The same while one of a sensor's readings is missing: it may come back under another number.
RETRY_S = 5.0

_FIRMWARE, _FREQUENCY, _JETSON = "firmware_throttled", "frequency_capped", "jetson_power_w"


class Counters(Protocol):
    """What the monitor asks of the daemon itself."""

    @property
    def received(self) -> int:
        """Frames received since start."""

    @property
    def latency_p95_us(self) -> float | None:
        """95th percentile of the compute of recent frames, in microseconds; None before the first."""


class Monitor:
    """Turns sensors into contexts."""

    def __init__(
        self,
        sysroot: Path,
        counters: Counters,
        *,
        clock: Callable[[], float] = monotonic,
        smoothing: Smoothing = Smoothing(),  # noqa: B008 - frozen
    ) -> None:
        """Wire the sensors; nothing is read yet.

        Args:
            sysroot: Root of the tree to read in; ``/`` is this device.
            counters: Of the daemon.
            clock: Monotonic, in seconds.
            smoothing: Time constants.
        """
        tree, live = Sysroot(sysroot), sysroot == Path("/")
        sensors: tuple[Sensor, ...] = (
            SupplySensor(tree),
            ThermalSensor(tree),
            FrequencySensor(tree),
            FirmwareSensor(tree),
            MemorySensor(tree),
            load_sensor(tree, live=live),
            JetsonStatsSensor(live=live),
        )
        self._watches = [_Watch(sensor) for sensor in sensors]
        self._counters = counters
        self._clock = clock
        self._temperature = MovingAverage(smoothing.temperature_s)
        self._memory = MovingAverage(smoothing.memory_s)
        self._event_rate = EventRate(smoothing.event_rate_s)
        self._readings: dict[str, Reading] = {}

    @property
    def readings(self) -> dict[str, Reading]:
        """What each sensor said at the last tick, before smoothing, with its source."""
        return dict(self._readings)

    def tick(self) -> Context:
        """Read everything once."""
        now_s = self._clock()
        readings: dict[str, Reading] = {}
        for watch in self._watches:
            readings.update(watch.look(now_s))
        readings["power_w"] = _first(readings["power_w"], readings[_JETSON])
        readings["throttled"] = _throttled(readings[_FREQUENCY], readings[_FIRMWARE])
        event_rate_hz = self._event_rate.update(self._counters.received, now_s)
        readings["event_rate_hz"] = _own(event_rate_hz, "frames received", "a rate takes two looks")
        latency_us = self._counters.latency_p95_us
        readings["latency_p95_us"] = _own(
            latency_us, "frames answered", "the active subnet has answered too few frames"
        )
        self._readings = readings

        values = {name: reading.value for name, reading in readings.items()}
        return Context(
            at_s=now_s,
            battery_percent=values["battery_percent"],
            external_power=_truth(values["external_power"]),
            power_w=values["power_w"],
            temperature_c=self._temperature.update(values["temperature_c"], now_s),
            throttled=_truth(values["throttled"]),
            memory_available_mib=self._memory.update(values["memory_available_mib"], now_s),
            memory_pressure_percent=values["memory_pressure_percent"],
            cpu_percent=values["cpu_percent"],
            event_rate_hz=event_rate_hz,
            latency_p95_us=latency_us,
            reasons={
                name: reading.reason
                for name, reading in readings.items()
                if reading.value is None and name in Context.__struct_fields__
            },
        )


class _Watch:
    """One sensor, when it was last looked for, and what was last there of it."""

    def __init__(self, sensor: Sensor) -> None:
        self._sensor = sensor
        self._scanned_s: float | None = None
        self._readings: Mapping[str, Reading] = {}

    def look(self, now_s: float) -> Mapping[str, Reading]:
        """Its readings, with devices looked for anew when that is due or one has gone."""
        if self._scan_is_due(now_s):
            self._scan(now_s)
        readings = self._sensor.read()
        if self._scanned_s != now_s and self._lost(readings):
            self._scan(now_s)
            readings = self._sensor.read()
        self._log_changes(readings)
        self._readings = readings
        return readings

    def _scan_is_due(self, now_s: float) -> bool:
        if self._scanned_s is None:
            return True
        missing = any(reading.value is None for reading in self._readings.values())
        return now_s - self._scanned_s >= (RETRY_S if missing else RESCAN_S)

    def _scan(self, now_s: float) -> None:
        self._sensor.discover()
        self._scanned_s = now_s

    def _lost(self, readings: Mapping[str, Reading]) -> bool:
        return any(reading.value is None and self._was_there(name) for name, reading in readings.items())

    def _was_there(self, name: str) -> bool:
        return name in self._readings and self._readings[name].value is not None

    def _log_changes(self, readings: Mapping[str, Reading]) -> None:
        for name, reading in readings.items():
            if reading.value is None and self._was_there(name):
                _log.warning("%s is gone: %s", name, reading.reason)
            elif reading.value is None and name not in self._readings:
                _log.info("no %s: %s", name, reading.reason)
            elif reading.value is not None and not self._was_there(name):
                _log.info("%s is read from %s", name, reading.source)


def _throttled(frequency: Reading, firmware: Reading) -> Reading:
    """Slowed down if either says so; known if either is known."""
    known = [reading for reading in (frequency, firmware) if reading.value is not None]
    if not known:
        return Reading(None, frequency.source, f"{frequency.reason}; {firmware.reason}")
    return max(known, key=lambda reading: reading.value or 0.0)


def _first(sysfs: Reading, other: Reading) -> Reading:
    """What sysfs says; what another source says only where that is nothing."""
    return other if sysfs.value is None and other.value is not None else sysfs


def _own(value: float | None, source: str, reason: str) -> Reading:
    return Reading(value, source, "" if value is not None else reason)


def _truth(value: float | None) -> bool | None:
    return None if value is None else value > 0
