"""What the data thread counts and times, readable from another thread without a lock."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from adaspring.serve.protocol import REJECT_REASONS, Statistics

#: Requests that count as recent.
RECENT = 256
#: Requests whose times are kept, for who looks once a second and wants them all: more than a core answers in that time.
KEPT = 8192

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
        self.batches = 0
        self.streams = 0
        self.generation = 0
        self._generations = np.zeros(KEPT, dtype=np.int64)
        # NaN where a request does not tell what a frame takes.
        self._frame_us = np.full(KEPT, np.nan)
        self._total_us = np.zeros(KEPT)
        self._asked = 0
        self._timeouts_us = np.full(RECENT, np.nan)

    def record(self, generation: int, frame_us: float, total_us: float) -> None:
        """Keep the times of a request that was answered.

        Args:
            generation: Which answered.
            frame_us: Compute of one frame; NaN where it is not known.
            total_us: From arrival until the reply was sent.
        """
        row = self.answered % KEPT
        self._generations[row] = generation
        self._frame_us[row] = frame_us
        self._total_us[row] = total_us
        self.generation = generation
        self.answered += 1

    def ask(self, timeout_us: int | None) -> None:
        """Keep what a request was given, in microseconds; None where its client waits for ever."""
        self._timeouts_us[self._asked % RECENT] = np.nan if timeout_us is None else timeout_us
        self._asked += 1

    def recent_timeouts_us(self) -> Times:
        """See `DataPlane.recent_timeouts_us`."""
        timeouts_us: Times = self._timeouts_us[~np.isnan(self._timeouts_us)]
        return timeouts_us

    def recent_compute_us(self, generation: int | None) -> Times:
        """See `DataPlane.recent_compute_us`."""
        return self._known(self._last(RECENT, generation))

    def compute_us_since(self, answered: int, generation: int) -> Times:
        """See `DataPlane.compute_us_since`."""
        return self._known(self._last(self.answered - answered, generation))

    def times_since(self, answered: int) -> tuple[int, Times, Times]:
        """See `DataPlane.times_since`."""
        # Read once: the data thread goes on counting.
        newest = self.answered
        rows = self._rows(newest - answered, newest)
        return newest, self._known(rows), self._total_us[rows]

    def recent_total_us(self, generation: int | None) -> Times:
        """See `DataPlane.recent_total_us`."""
        return self._total_us[self._last(RECENT, generation)]

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
            batches=self.batches,
            streams=self.streams,
            queue_depth=queue_depth,
            last_progress_s=last_progress_s,
            generation=self.generation,
        )

    def _last(self, count: int, generation: int | None) -> npt.NDArray[np.intp]:
        """Rows of the newest requests of a generation, oldest first."""
        rows = self._rows(count, self.answered)
        return rows if generation is None else rows[self._generations[rows] == generation]

    @staticmethod
    def _rows(count: int, newest: int) -> npt.NDArray[np.intp]:
        """Rows of so many requests up to a count of answers, as far as they are kept."""
        return np.arange(max(0, newest - min(count, KEPT)), newest) % KEPT

    def _known(self, rows: npt.NDArray[np.intp]) -> Times:
        frames_us = self._frame_us[rows]
        times: Times = frames_us[~np.isnan(frames_us)]
        return times
