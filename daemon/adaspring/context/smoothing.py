"""Exponential smoothing on a clock whose ticks need not be even."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, sqrt

from adaspring.context.model import EventState


@dataclass(frozen=True, slots=True)
class Smoothing:
    """Time constants, in seconds; after one of them 63 % of a step has arrived.

    Attributes:
        temperature_s: Of the temperature.
        memory_s: Of available memory.
        event_rate_s: Of the event rate.
        queue_s: Of the number of frames that wait.
        temperature_rise_s: Of the temperature's rise; long, as half a degree within a second says nothing yet.
    """

    temperature_s: float = 2.0
    memory_s: float = 2.0
    event_rate_s: float = 2.0
    queue_s: float = 2.0
    temperature_rise_s: float = 20.0


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


class Rise:
    """How fast a value rises, in units per minute, smoothed."""

    def __init__(self, time_constant_s: float) -> None:
        """Start without a value; it takes two to know a rise."""
        self._average = MovingAverage(time_constant_s)
        self._value: float | None = None
        self._rise: float | None = None
        self._at_s = 0.0

    def update(self, value: float | None, at_s: float) -> float | None:
        """The smoothed rise after a value; None forgets what was."""
        if value is None:
            self._rise = self._average.update(None, at_s)
        elif self._value is not None and at_s > self._at_s:
            self._rise = self._average.update(60 * (value - self._value) / (at_s - self._at_s), at_s)
        self._value, self._at_s = value, at_s
        return self._rise


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


#: Without an event for so long the rate is idle, in seconds.
IDLE_S = 10.0
#: A burst begins where the rate of the last seconds is so many times that of the last minute.
_BURST_RATIO = 2.0
#: It ends where the rate has not been so many times that for so long, in seconds: what comes in clumps
#: is one burst, and not one after the other.
_CALM_RATIO, CALM_S = 1.3, 10.0
#: Time constant of what counts as usual, in seconds: a burst that lasts becomes the usual.
_USUAL_S = 60.0
#: How many standard deviations of chance a burst must exceed as well; events that come at random have long tails.
_SIGMAS = 5.0


class EventActivity:
    """Whether events come as usual, in a burst, or not at all, from a count that only grows."""

    def __init__(self, time_constant_s: float) -> None:
        """Start without a state.

        Args:
            time_constant_s: Of the rate that is held against the usual one, in seconds.
        """
        self._now = EventRate(time_constant_s)
        # An average over time constant T of events that come by chance at rate r has the variance r / 2T.
        self._spread = 1 / (2 * time_constant_s)
        self._last: tuple[int, float] | None = None
        self._started_s = self._changed_s = 0.0
        self._usual_hz = 0.0
        self._burst = False
        self._loud_s = 0.0

    def update(self, count: int, at_s: float) -> EventState | None:
        """The state after a look at the count; None at the first."""
        now_hz = self._now.update(count, at_s)
        if self._last is None:
            self._last, self._started_s, self._changed_s = (count, at_s), at_s, at_s
            return None
        if count != self._last[0]:
            self._changed_s = at_s
        self._learn_usual(count, at_s)
        if at_s - self._changed_s >= IDLE_S:
            self._burst = False
            return "idle"
        if now_hz is not None and at_s - self._started_s >= IDLE_S and self._exceeds(now_hz):
            self._burst, self._loud_s = True, at_s
        elif at_s - self._loud_s >= CALM_S:
            self._burst = False
        return "burst" if self._burst else "steady"

    def _learn_usual(self, count: int, at_s: float) -> None:
        last_count, last_s = self._last or (count, at_s)
        if at_s <= last_s:
            return
        # Young averages span what there is: the mean since the start, so that no single second sets the scale.
        span_s = min(_USUAL_S, at_s - self._started_s)
        rate_hz = (count - last_count) / (at_s - last_s)
        self._usual_hz += (1 - exp(-(at_s - last_s) / span_s)) * (rate_hz - self._usual_hz)
        self._last = (count, at_s)

    def _exceeds(self, now_hz: float) -> bool:
        if self._burst:
            return now_hz > _CALM_RATIO * self._usual_hz
        chance_hz = _SIGMAS * sqrt(self._usual_hz * self._spread)
        return now_hz > max(_BURST_RATIO * self._usual_hz, self._usual_hz + chance_hz)
