"""Online correction of the energy table, where a power sensor exists."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from math import isfinite
from time import time

import msgspec
import numpy as np
import numpy.typing as npt

from adaspring.tables.correction import EXPIRES_S, Learned

Array = npt.NDArray[np.float64]

#: Looks at a power sensor that the factor is made of, the fewest that give one, and how
#: many new ones are awaited before it is worked out again.
LOOKS = 120
LEAST_LOOKS = 30
STRIDE = 10
#: Spread that the frames explain over the spread that they leave, from which a slope is more than noise.
LEAST_SIGNAL = 1.0


class EnergyCorrection:
    """Measured over predicted energy of frames, from the power that the whole device draws.

    The device draws much that is not ours, so the factor is the slope of the measured
    power over the predicted power of the frames, after Theil and Sen; it is known only
    once the load has varied enough for a slope to be seen.
    """

    def __init__(self, *, wall: Callable[[], float] = time) -> None:
        """Start without a factor.

        Args:
            wall: Seconds since 1970; what was learned expires on it.
        """
        self._looks: dict[str, deque[tuple[float, float]]] = {}
        self._new = 0
        self._learned: dict[str, Learned] = {}
        self._wall = wall

    def observe(self, predicted_w: float, measured_w: float, condition: str = "") -> None:
        """Learn from one look at the power sensor.

        Args:
            predicted_w: Frames a second times the energy that the tables give one, uncorrected, in watts.
            measured_w: What the device draws, in watts.
            condition: Under which condition.
        """
        if not (isfinite(predicted_w) and isfinite(measured_w) and predicted_w >= 0 and measured_w > 0):
            return
        looks = self._looks.setdefault(condition, deque(maxlen=LOOKS))
        looks.append((predicted_w, measured_w))
        self._new += 1
        if len(looks) < LEAST_LOOKS or self._new < STRIDE:
            return
        self._new = 0
        slope = _slope(*np.array(looks).T)
        if slope is not None:
            self._learned[condition] = Learned(condition, slope, len(looks), self._wall())

    def factor(self, condition: str = "", *others: str) -> float:
        """Measured over predicted energy; one where no power sensor has told."""
        for name in (condition, *others):
            known = self._learned.get(name)
            if known is not None and self._wall() - known.at < EXPIRES_S:
                return known.factor
        return 1.0

    def learned(self) -> tuple[Learned, ...]:
        """All that has not expired."""
        now = self._wall()
        return tuple(known for known in self._learned.values() if now - known.at < EXPIRES_S)

    def redate(self, by_s: float) -> None:
        """See `LatencyCorrection.redate`."""
        self._learned = {
            name: msgspec.structs.replace(known, at=known.at + by_s) for name, known in self._learned.items()
        }

    def restore(self, learned: Iterable[Learned]) -> None:
        """Go on from what was learned before a restart; what has expired is left out."""
        now = self._wall()
        self._learned.update({known.condition: known for known in learned if abs(now - known.at) < EXPIRES_S})


def _slope(predicted_w: Array, measured_w: Array) -> float | None:
    """Slope after Theil and Sen; None where it is not positive or drowns in the rest of the device."""
    first, second = np.triu_indices(len(predicted_w), 1)
    steps = predicted_w[second] - predicted_w[first]
    distinct = steps != 0
    if not distinct.any():
        return None
    slope = float(np.median((measured_w[second] - measured_w[first])[distinct] / steps[distinct]))
    noise = float(np.std(measured_w - slope * predicted_w))
    return slope if slope > 0 and slope * float(np.std(predicted_w)) >= LEAST_SIGNAL * noise else None
