"""Online correction of the tables: how far off are they right now?

A slower clock, a hot core or a busy neighbour scales all subnets nearly alike, so one
factor for each condition (an engine, a power mode, a thermal state) goes a long way.
What neighbours and interrupts add to some frames only is the tail: the distance between
the percentile that tables hold and the one that budgets bind, learned likewise.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import exp, isfinite, log
from time import time

import msgspec
import numpy as np
import numpy.typing as npt

from adaspring.errors import TableError

#: Frames that the estimate is made of. A change is proven by `AGREEING` frames, and what those told is gone this many
#: later: within 50 frames of it the estimate is made of frames that came behind it alone.
WINDOW = 32
#: Percentile of them that is held against the table, which holds the same of undisturbed runs.
LOW_PERCENTILE = 20.0
#: Fewest of them that tell it.
LEAST_FRAMES = 10
#: A frame farther than this above the estimate, in log units (35 %), is high.
HIGH = 0.3
#: So many frames of which at most one is not high are no accident: the device has become slower.
AGREEING = 16
#: Subnets whose own deviation is remembered under a condition.
REMEMBERED = 8
#: Percentile of frames that latency budgets bind, frames that its distance from the low one is learned from, and
#: the fewest that tell it: of 200 frames ten lie beyond it, so a single stall moves it little.
TAIL_PERCENTILE = 95.0
TAIL_FRAMES, LEAST_TAIL_FRAMES = 512, 200
#: New frames that are awaited before it is worked out again: to sort so many takes a while, and an evolution waits.
TAIL_STRIDE = 50
#: What was learned and not confirmed for so long is forgotten, in seconds: a week.
EXPIRES_S = 7 * 86_400.0


class Learned(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A factor as it survives a restart.

    Attributes:
        condition: Under which it was learned.
        factor: Measured over predicted.
        frames: Measurements behind it since it was first learned.
        at: When it was last confirmed, in seconds since 1970.
        tail_ratio: 95th percentile of latency over the percentile of the table; None where too few frames told.
    """

    condition: str
    factor: float
    frames: int
    at: float
    tail_ratio: float | None = None

    def __post_init__(self) -> None:
        """Refuse a factor that no measurement gives.

        Raises:
            ValueError: Says what must hold.
        """
        if not (isfinite(self.factor) and self.factor > 0 and self.frames >= 0 and isfinite(self.at)):
            raise ValueError("a learned factor must be positive, and its frames and time no less than zero")
        if self.tail_ratio is not None and not (isfinite(self.tail_ratio) and self.tail_ratio >= 1):
            raise ValueError("a learned tail ratio must be at least one")


@dataclass(slots=True)
class _State:
    """What is known under one condition.

    The window holds the last frames of the subnet that runs, outliers too: its low percentile stays where
    it was until a fifth of them are too quick or most are too slow. So it follows a device that becomes
    quicker in eight frames, but one that becomes slower only once most frames are of after the change. That
    change is looked for, and the frames of before it are dropped.

    Subnets that ran before are remembered by what they were off; when the one that runs gets slower
    or quicker, so did all of them.
    """

    estimate: float = 0.0
    frames: int = 0
    at: float = 0.0
    window: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))
    since_low: int = 0
    since_low_before: int = 0
    subnet: bytes = b""
    known: dict[bytes, float] = field(default_factory=dict)
    tail: float | None = None
    tail_new: int = 0
    tail_window: deque[float] = field(default_factory=lambda: deque(maxlen=TAIL_FRAMES))

    def begin(self, subnet: bytes) -> None:
        if subnet != self.subnet:
            self.subnet = subnet
            self.forget()

    def forget(self) -> None:
        """Drop the frames of the window; what they told stands until others speak."""
        self.window.clear()
        self.since_low = self.since_low_before = 0

    def take(self, ratio: float) -> bool:
        """Take one frame in; whether the device proved with it to have become slower."""
        self.window.append(ratio)
        self.since_low += 1
        self.since_low_before += 1
        if ratio <= self.estimate + HIGH:
            self.since_low, self.since_low_before = 0, self.since_low
        if self.since_low_before < AGREEING:
            return False
        recent = list(self.window)[-AGREEING:]
        self.forget()
        self.window.extend(recent)
        self.settle()
        # They lie apart from those before for another reason than a tail.
        for _ in range(min(AGREEING, len(self.tail_window))):
            self.tail_window.pop()
        return True

    def stretch(self, ratios: list[float]) -> None:
        """Learn the tail from frames of a subnet whose own estimate has settled."""
        if len(self.window) < LEAST_FRAMES:
            return
        self.tail_window.extend(ratio - self.estimate for ratio in ratios)
        self.tail_new += len(ratios)
        if len(self.tail_window) >= LEAST_TAIL_FRAMES and self.tail_new >= TAIL_STRIDE:
            self.tail = max(0.0, _percentile(self.tail_window, TAIL_PERCENTILE))
            self.tail_new = 0

    def settle(self) -> None:
        # What was known before stands until the window says more than chance.
        if len(self.window) < LEAST_FRAMES:
            return
        self.estimate = _percentile(self.window, LOW_PERCENTILE)
        before = self.known.pop(self.subnet, None)
        if before is not None:
            self.known = {name: off + self.estimate - before for name, off in self.known.items()}
        # What a restart brought back stands for no subnet, so the first that speaks replaces it.
        self.known.pop(b"", None)
        self.known[self.subnet] = self.estimate
        while len(self.known) > REMEMBERED:
            self.known.pop(next(iter(self.known)))


def _percentile(values: Iterable[float], percent: float) -> float:
    """As numpy's, which is slow for a few dozen values: an evolution waits for it."""
    ordered = sorted(values)
    rank = (len(ordered) - 1) * percent / 100.0
    below = int(rank)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (rank - below)


class LatencyCorrection:
    """Measured over predicted latency and its tail for each condition: percentiles that outliers do not move."""

    def __init__(self, *, wall: Callable[[], float] = time) -> None:
        """Start with a factor of one everywhere.

        Args:
            wall: Seconds since 1970; what was learned expires on it.
        """
        self._states: dict[str, _State] = {}
        self._wall = wall

    def observe(
        self, predicted_us: float, measured_us: npt.ArrayLike, condition: str = "", subnet: bytes = b""
    ) -> None:
        """Learn from measured frames.

        Args:
            predicted_us: What the tables said, uncorrected, in microseconds.
            measured_us: What frames of that subnet took, one or many, oldest first.
            condition: Under which condition; factors of conditions are kept apart.
            subnet: What tells the subnet from others.

        Raises:
            TableError: If one of them is not a positive number; nothing is learned then.
        """
        measured = np.atleast_1d(np.asarray(measured_us, dtype=np.float64))
        sound = np.isfinite(measured).all() and (measured > 0).all()
        if not (isfinite(predicted_us) and predicted_us > 0 and sound):
            raise TableError(
                f"a latency must be a positive number of microseconds; predicted {predicted_us}, "
                f"measured {measured.tolist()}"
            )
        state = self._states.setdefault(condition, _State())
        state.begin(subnet)
        ratios = np.log(measured / predicted_us).tolist()
        # Those before the window would be gone again by the end of it.
        changed = [state.take(ratio) for ratio in ratios[-WINDOW:]]
        state.settle()
        # Frames from before a change and after it lie apart for another reason than a tail.
        if not any(changed):
            state.stretch(ratios)
        state.frames += len(measured)
        state.at = self._wall()

    def factor(self, condition: str = "", *others: str) -> float:
        """Measured over predicted latency under a condition; one where nothing was measured.

        It is that of the subnet that does worst among those that ran lately: a search moves to
        whatever the table flatters, and with the factor of the last subnet alone it would go
        back and forth between two that are off in different ways.

        Args:
            condition: The condition.
            others: Conditions that tell more than nothing, the nearest first.
        """
        state = self._nearest((condition, *others))
        return 1.0 if state is None else exp(max(state.known.values(), default=state.estimate))

    def factor_of(self, subnet: bytes, condition: str = "", *others: str) -> float:
        """The same of one subnet, where its own frames told; see `factor`."""
        state = self._nearest((condition, *others))
        own = None if state is None else state.known.get(subnet)
        return self.factor(condition, *others) if own is None else exp(own)

    def tail_ratio(self, condition: str = "", *others: str) -> float | None:
        """95th percentile of latency over the low one, as served frames told; None where too few did.

        Args are those of `factor`.
        """
        now = self._wall()
        known = (self._states[name] for name in (condition, *others) if name in self._states)
        tails = (state.tail for state in known if now - state.at < EXPIRES_S)
        return next((exp(tail) for tail in tails if tail is not None), None)

    def _nearest(self, conditions: tuple[str, ...]) -> _State | None:
        now = self._wall()
        known = (self._states[name] for name in conditions if name in self._states)
        return next((state for state in known if now - state.at < EXPIRES_S), None)

    def rebase(self) -> None:
        """Drop the frames behind each factor, as the table has changed; the factor stands until new ones speak."""
        for state in self._states.values():
            state.estimate = max(state.known.values(), default=state.estimate)
            state.known.clear()
            state.forget()

    def learned(self) -> tuple[Learned, ...]:
        """All that has not expired, for the disk and for people."""
        now = self._wall()
        return tuple(
            Learned(condition, self.factor(condition), state.frames, state.at, self.tail_ratio(condition))
            for condition, state in self._states.items()
            if now - state.at < EXPIRES_S
        )

    def redate(self, by_s: float) -> None:
        """Follow the wall clock, which was set by so many seconds: what was learned is no older for it."""
        for state in self._states.values():
            state.at += by_s

    def restore(self, learned: Iterable[Learned]) -> None:
        """Go on from what was learned before a restart; what has expired is left out."""
        now = self._wall()
        for known in learned:
            # A board without a battery-backed clock may wake in the past: ages are never negative.
            if abs(now - known.at) < EXPIRES_S:
                tail = None if known.tail_ratio is None else log(known.tail_ratio)
                self._states[known.condition] = _State(log(known.factor), known.frames, known.at, tail=tail)
