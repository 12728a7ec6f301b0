"""How many frames are late, and what compute of a frame keeps them few enough.

Compute of a frame is taken as lognormal between the low percentile that tables hold and the 95th, whose distance is
learned from served frames; beyond the 95th it is extrapolated. Frames come at random and wait for those before them:
with the probability that the engine is busy, for a time that is taken as exponential with the mean of Pollaczek and
Khinchine.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import exp, log
from statistics import NormalDist

_NORMAL = NormalDist()
#: Standard normal quantiles of the percentiles that tables and budgets hold.
_LOW_Z, _TAIL_Z = _NORMAL.inv_cdf(0.20), _NORMAL.inv_cdf(0.95)
#: Those of the middles of equal shares that stand for all frames. Python floats: so few of them beat array calls.
_SHARES_Z = tuple(_NORMAL.inv_cdf((share + 0.5) / 16) for share in range(16))
#: Halvings of what is in question: the outcome is below the exact one by less than a four-thousandth of the most.
_HALVINGS = 12
#: An engine that is asked for more has a queue that only grows.
MOST_BUSY = 0.999


@dataclass(frozen=True)
class Arrivals:
    """Frames of one model, as they come and as they spread around what tables say.

    Attributes:
        rate_hz: Frames a second, at random.
        tail_ratio: 95th percentile of compute over the 20th.
    """

    rate_hz: float
    tail_ratio: float

    def late_share(self, compute_p95_s: float, asked_s: float) -> float:
        """Share of frames that take longer than asked, waiting included; grows with compute.

        Args:
            compute_p95_s: 95th percentile of compute, in seconds.
            asked_s: In which a frame has to be answered.
        """
        too_long = self._beyond(asked_s / compute_p95_s)
        busy = min(self.rate_hz * compute_p95_s * self._mean, MOST_BUSY)
        # Of those that wait at all, in units of the 95th percentile like all that follows.
        wait = self._square / (2 * self._mean) / (1 - busy)
        asked = asked_s / compute_p95_s
        waiting = sum(exp((each - asked) / wait) if each < asked else 1.0 for each in self._spread) / len(self._spread)
        # Those that compute too long are late whether they wait or not.
        return (1 - busy) * too_long + busy * max(waiting, too_long)

    def compute_within_s(self, asked_s: float, late: float, most_s: float) -> float:
        """The most 95th percentile of compute with which no more than a share of frames is late, in seconds.

        Args:
            asked_s: In which a frame has to be answered, waiting included.
            late: Share of frames that may take longer.
            most_s: No more than this, whatever is late.
        """
        # With nobody to wait for.
        most_s = min(most_s, asked_s * exp(self._sigma * (_TAIL_Z - _NORMAL.inv_cdf(1 - late))))
        if self.rate_hz <= 0 or self.late_share(most_s, asked_s) <= late:
            return most_s
        least_s, step_s = 0.0, most_s
        for _ in range(_HALVINGS):
            step_s /= 2
            if self.late_share(least_s + step_s, asked_s) <= late:
                least_s += step_s
        return least_s

    @cached_property
    def _sigma(self) -> float:
        return log(self.tail_ratio) / (_TAIL_Z - _LOW_Z)

    @cached_property
    def _spread(self) -> tuple[float, ...]:
        """Compute of frames in equal shares, over its 95th percentile."""
        return tuple(exp(self._sigma * (z - _TAIL_Z)) for z in _SHARES_Z)

    @cached_property
    def _mean(self) -> float:
        return sum(self._spread) / len(self._spread)

    @cached_property
    def _square(self) -> float:
        return sum(each * each for each in self._spread) / len(self._spread)

    def _beyond(self, asked: float) -> float:
        """Share of frames that compute longer than so many 95th percentiles."""
        if self._sigma <= 0:
            return float(asked < 1)
        return 1 - _NORMAL.cdf(_TAIL_Z + log(asked) / self._sigma)
