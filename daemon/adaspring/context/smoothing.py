"""Exponential smoothing on a clock whose ticks need not be even."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp


@dataclass(frozen=True, slots=True)
class Smoothing:
    """Time constants, in seconds; after one of them 63 % of a step has arrived.

    Attributes:
        temperature_s: Of the temperature.
        memory_s: Of available memory.
        event_rate_s: Of the event rate.
    """

    temperature_s: float = 2.0
    memory_s: float = 2.0
    event_rate_s: float = 2.0


class MovingAverage:
    """Exponentially weighted moving average: ``a += (1 - exp(-dt / T)) * (x - a)``."""

    def __init__(self, time_constant_s: float) -> None:
        """Start without a value; the first one is taken as it is."""
        self._time_constant_s = time_constant_s
        self._value: float | None = None
        self._at_s = 0.0

    def update(self, value: float | None, at_s: float) -> float | None:
        """The average after a value; None forgets what was, so that nothing stale comes back."""
        if value is None or self._value is None:
            self._value = value
        else:
            weight = 1 - exp(-max(0.0, at_s - self._at_s) / self._time_constant_s)
            self._value += weight * (value - self._value)
        self._at_s = at_s
        return self._value


class EventRate:
    """Events per second from a count that only grows."""

    def __init__(self, time_constant_s: float) -> None:
        """Start without a rate; it takes two looks to know one."""
        self._average = MovingAverage(time_constant_s)
        self._rate_hz: float | None = None
        self._count = 0
        self._at_s: float | None = None

    def update(self, count: int, at_s: float) -> float | None:
        """The smoothed rate after a look at the count; None at the first."""
        if self._at_s is None:
            self._count, self._at_s = count, at_s
        elif at_s > self._at_s:
            self._rate_hz = self._average.update((count - self._count) / (at_s - self._at_s), at_s)
            self._count, self._at_s = count, at_s
        return self._rate_hz
