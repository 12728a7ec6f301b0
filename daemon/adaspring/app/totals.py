"""What adds up while the daemon runs: distributions of times, evolutions by cause."""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

from adaspring.app.evolution import Evolution
from adaspring.serve.measurements import Measurements

#: Upper bounds of the classes that times are counted in, in microseconds; a last class has none.
BOUNDS_US = (100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000)


class Histogram(msgspec.Struct, frozen=True):
    """How often a time fell into each class.

    Attributes:
        counts: Times up to each of `BOUNDS_US` and above the bound before it; last, those above all bounds.
        sum_us: All times together, in microseconds.
    """

    counts: tuple[int, ...] = (0,) * (len(BOUNDS_US) + 1)
    sum_us: float = 0.0

    def plus(self, times_us: npt.NDArray[np.float64]) -> Histogram:
        """With more times counted."""
        classes = np.searchsorted(BOUNDS_US, times_us)
        counts = np.bincount(classes, minlength=len(self.counts)) + np.asarray(self.counts)
        return Histogram(tuple(counts.tolist()), self.sum_us + float(times_us.sum()))


class Totals(msgspec.Struct, frozen=True):
    """Since the daemon began.

    Attributes:
        evolutions: By kind of cause, confirmations of the running subnet counted.
        failed_evolutions: After which the subnet before went on.
        request_us: Requests that were answered, from arrival until the reply was sent.
        compute_us: Frames whose compute is known by itself.
        evolution_us: Evolutions that swapped the subnet, from the trigger to the flip.
    """

    evolutions: dict[str, int] = {}
    failed_evolutions: int = 0
    request_us: Histogram = Histogram()
    compute_us: Histogram = Histogram()
    evolution_us: Histogram = Histogram()


class Tally:
    """Adds up in the control thread what the data thread has written down anyway.

    Attributes:
        totals: So far.
    """

    def __init__(self) -> None:
        """Begin at nothing."""
        self.totals = Totals()
        self._answered = 0

    def look(self, measurements: Measurements) -> None:
        """Count the requests that were answered since the last look, as far back as their times are kept."""
        self._answered, compute_us, total_us = measurements.times_since(self._answered)
        if len(total_us):
            totals = self.totals
            self.totals = msgspec.structs.replace(
                totals,
                request_us=totals.request_us.plus(total_us),
                compute_us=totals.compute_us.plus(compute_us),
            )

    def evolved(self, evolution: Evolution) -> None:
        """Count an evolution."""
        totals, kind = self.totals, evolution.cause.kind
        counted = {**totals.evolutions, kind: totals.evolutions.get(kind, 0) + 1}
        took_us = totals.evolution_us.plus(np.array([evolution.total_us])) if evolution.swapped else totals.evolution_us
        self.totals = msgspec.structs.replace(totals, evolutions=counted, evolution_us=took_us)

    def failed(self) -> None:
        """Count an evolution that failed."""
        self.totals = msgspec.structs.replace(self.totals, failed_evolutions=self.totals.failed_evolutions + 1)
