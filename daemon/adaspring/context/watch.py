"""One sensor over time: when it is read, when its devices are looked for, how long its word counts."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from time import monotonic

import msgspec

from adaspring.context.crew import DEADLINE_S
from adaspring.context.model import Reading
from adaspring.context.sensor import Sensor

_log = logging.getLogger(__name__)

#: How often devices are looked for anew at least, in seconds.
RESCAN_S = 60.0
#: The same soon after a sensor went, or while it was never there: it may come under another number.
#: Each look in vain doubles it, up to how often they are looked for anyway.
RETRY_S = 5.0
#: How much older than the sensor's interval a reading may get while a read takes its time, in seconds.
PATIENCE_S = 3.0


class Watch:
    """One sensor, what it said last, and since when.

    `look` runs in whichever thread the monitor gives it; everything else in the monitor's.

    Attributes:
        busy: Whether a look has begun and not ended.
        slow: Whether the last look took longer than the deadline, so that nobody should wait for the next.
    """

    def __init__(self, sensor: Sensor, deadline_s: float = DEADLINE_S, rescan_s: float = RESCAN_S) -> None:
        """Read nothing yet.

        Args:
            sensor: To be read.
            deadline_s: What is too long for a look, in seconds.
            rescan_s: How often its devices are looked for anew, in seconds.
        """
        self.busy = False
        self.slow = False
        self._sensor = sensor
        self._deadline_s = deadline_s
        self._rescan_s = rescan_s
        self._scanned_s: float | None = None
        self._retry_s = RETRY_S
        self._begun_s: float | None = None
        self._valid_from_s = float("-inf")
        self._heard: tuple[float, Mapping[str, Reading]] | None = None
        self._told: dict[str, Reading] = {}
        self._seen: set[str] = set()

    def is_due(self, now_s: float) -> bool:
        """Whether it is to be read now."""
        if self.busy:
            return False
        return self._begun_s is None or now_s - self._begun_s >= self._sensor.interval_s

    def begin(self, now_s: float) -> None:
        """Say that a look is about to begin; no other is begun before it ends."""
        self.busy = True
        self._begun_s = now_s

    def look(self, now_s: float) -> None:
        """Read it, with its devices looked for anew when that is due or one has gone. Never raises."""
        started_s = monotonic()
        try:
            readings = self._read(now_s)
        # A sensor that fails in a way that nobody foresaw must not end the thread that reads the others,
        # not even where a library of its wants to end the process.
        except BaseException as error:  # noqa: BLE001 - whatever fails there is a reason here
            reason = f"reading it failed: {type(error).__name__}: {error}"
            readings = self._nothing(reason)
        self._heard = (now_s, readings)
        self.slow = monotonic() - started_s > self._deadline_s
        self.busy = False

    def forget(self, now_s: float) -> None:
        """Believe nothing that was read before now, and look for the devices anew."""
        self._valid_from_s = now_s
        self._begun_s = self._scanned_s = None

    def readings(self, now_s: float) -> Mapping[str, Reading]:
        """What it says now, each reading with its age; a change is logged once."""
        readings = self._believed(now_s)
        self._log_changes(readings)
        self._told = dict(readings)
        return readings

    def _read(self, now_s: float) -> Mapping[str, Reading]:
        if self._scan_is_due(now_s):
            self._retry_s = min(2 * self._retry_s, self._rescan_s) if self._scanned_s is not None else RETRY_S
            self._scan(now_s)
        readings = self._sensor.read()
        if self._lost(readings):
            self._retry_s = RETRY_S
            if self._scanned_s != now_s:
                self._scan(now_s)
                readings = self._sensor.read()
        return readings

    def _believed(self, now_s: float) -> Mapping[str, Reading]:
        if self._heard is None or self._heard[0] < self._valid_from_s:
            return self._nothing("it has not answered yet")
        at_s, readings = self._heard
        age_s = now_s - at_s
        if age_s > self._sensor.interval_s + PATIENCE_S:
            return self._nothing(f"it has not answered for {age_s:.0f} s")
        if age_s <= 0:
            return readings
        return {name: msgspec.structs.replace(reading, age_s=age_s) for name, reading in readings.items()}

    def _nothing(self, reason: str) -> dict[str, Reading]:
        return {
            name: Reading(None, self._told[name].source if name in self._told else name, reason)
            for name in self._sensor.quantities
        }

    def _scan_is_due(self, now_s: float) -> bool:
        if self._scanned_s is None or self._heard is None:
            return True
        absent = {name for name, reading in self._heard[1].items() if reading.value is None}
        missing = len(absent) == len(self._heard[1]) or bool(absent & self._seen)
        return now_s - self._scanned_s >= (self._retry_s if missing else self._rescan_s)

    def _scan(self, now_s: float) -> None:
        self._sensor.discover()
        self._scanned_s = now_s

    def _lost(self, readings: Mapping[str, Reading]) -> bool:
        return any(reading.value is None and self._was_there(name) for name, reading in readings.items())

    def _was_there(self, name: str) -> bool:
        return name in self._told and self._told[name].value is not None

    def _log_changes(self, readings: Mapping[str, Reading]) -> None:
        gone: dict[str, list[str]] = {}
        come: dict[str, list[str]] = {}
        for name, reading in readings.items():
            if reading.value is None and self._was_there(name):
                gone.setdefault(reading.reason, []).append(name)
            elif reading.value is None and name not in self._told:
                _log.debug("no %s: %s", name, reading.reason)
            elif reading.value is not None and not self._was_there(name):
                come.setdefault(reading.source, []).append(name)
                self._seen.add(name)
        for reason, names in gone.items():
            _log.warning("%s is gone: %s", ", ".join(names), reason)
        for source, names in come.items():
            _log.info("%s is read from %s", ", ".join(names), source)
