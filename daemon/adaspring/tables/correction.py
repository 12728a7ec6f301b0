"""Online correction of the latency table: how far off is it right now?

A slower clock, a hot core or a busy neighbour scales all subnets alike, so one
factor for each condition (a thermal state, a power mode) goes a long way.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import exp, isfinite, log
from statistics import median

from adaspring.errors import TableError

#: Weight of a new measurement in the moving average; its memory is about ten.
WEIGHT = 0.1
#: A measurement farther than this from the average, in log units (35 %), is taken for an outlier.
OUTLIER = 0.3
#: So many outliers in a row to one side are no accident: the device has changed.
AGREEING = 5


@dataclass(slots=True)
class _State:
    mean: float = 0.0
    outliers: list[float] = field(default_factory=list)


class LatencyCorrection:
    """Measured over predicted latency for each condition, averaged in the log and robust to outliers."""

    def __init__(self) -> None:
        """Start with a factor of one everywhere."""
        self._states: dict[str, _State] = {}

    def observe(self, predicted_us: float, measured_us: float, condition: str = "") -> None:
        """Learn from one measurement.

        Args:
            predicted_us: What the tables said, uncorrected, in microseconds.
            measured_us: What was measured, of the same percentile.
            condition: Under which condition; factors of conditions are kept apart.

        Raises:
            TableError: If either is not a positive number.
        """
        if not (isfinite(predicted_us) and isfinite(measured_us) and predicted_us > 0 and measured_us > 0):
            raise TableError(
                f"a latency must be a positive number of microseconds; predicted {predicted_us}, measured {measured_us}"
            )
        ratio = log(measured_us / predicted_us)
        state = self._states.setdefault(condition, _State())
        deviation = ratio - state.mean
        if abs(deviation) <= OUTLIER:
            state.outliers.clear()
            state.mean += WEIGHT * deviation
            return
        if state.outliers and (state.outliers[-1] > state.mean) != (ratio > state.mean):
            state.outliers.clear()
        state.outliers.append(ratio)
        if len(state.outliers) == AGREEING:
            state.mean = median(state.outliers)
            state.outliers.clear()

    def factor(self, condition: str = "") -> float:
        """Measured over predicted latency under a condition; one where nothing was measured."""
        state = self._states.get(condition)
        return 1.0 if state is None else exp(state.mean)
