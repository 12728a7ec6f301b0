"""What the data thread counts and times, readable from another thread without a lock."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from adaspring.serve.protocol import REJECT_REASONS, Statistics

#: Requests whose times are kept.
RECENT = 256

Times = npt.NDArray[np.float64]


class Measurements:
    """Counters and the times of the last requests.

    Only the data thread writes. A reader may find the newest request half written, which
    no statistic over hundreds can tell.
    """

    def __init__(self) -> None:
        """Start at zero."""
        self.received = 0
        self.samples = 0
        self.answered = 0
        # All keys from the start: a dict that never grows can be copied by another thread.
        self.rejected: dict[str, int] = dict.fromkeys(REJECT_REASONS, 0)
        self.expired = 0
        self.cancelled = 0
        self.failed = 0
        self.undelivered = 0
        self.generation = 0
        self._generations = np.zeros(RECENT, dtype=np.int64)
        self._samples = np.zeros(RECENT, dtype=np.int64)
        self._compute_us = np.zeros(RECENT)
        self._total_us = np.zeros(RECENT)

    def record(self, generation: int, samples: int, compute_us: float, total_us: float) -> None:
        """Keep the times of a request that was answered."""
        row = self.answered % RECENT
        self._generations[row] = generation
        self._samples[row] = samples
        self._compute_us[row] = compute_us
        self._total_us[row] = total_us
        self.generation = generation
        self.answered += 1

    def recent_compute_us(self, generation: int | None) -> Times:
        """See `DataPlane.recent_compute_us`."""
        single = self._rows(generation) & (self._samples == 1)
        times: Times = self._compute_us[single]
        return times

    def recent_total_us(self, generation: int | None) -> Times:
        """See `DataPlane.recent_total_us`."""
        return self._total_us[self._rows(generation)]

    def statistics(self, queue_depth: int, last_progress_s: float) -> Statistics:
        """A snapshot."""
        return Statistics(
            received=self.received,
            samples=self.samples,
            answered=self.answered,
            rejected=dict(self.rejected),
            expired=self.expired,
            cancelled=self.cancelled,
            failed=self.failed,
            undelivered=self.undelivered,
            queue_depth=queue_depth,
            last_progress_s=last_progress_s,
            generation=self.generation,
        )

    def _rows(self, generation: int | None) -> npt.NDArray[np.bool_]:
        if generation is None:
            # Generations count from 1; rows that were never written hold 0.
            return np.greater(self._generations, 0)
        return np.equal(self._generations, generation)
