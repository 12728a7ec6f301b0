"""What the data thread counts and times, readable from another thread without a lock."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from adaspring.serve.protocol import REJECT_REASONS, Statistics

#: Requests that count as recent.
RECENT = 256
#: Requests whose times are kept, for who looks once a second and wants them all: more than a core answers in that time.
KEPT = 8192

Times = npt.NDArray[np.float64]


class Refusals:
    """What did not get through: of a model, or where no model was known yet.

    Attributes:
        rejected: Messages refused, by reason.
        undelivered: Replies whose client was gone or did not read.
    """

    def __init__(self) -> None:
        """Start at zero."""
        # All keys from the start: a dict that never grows can be copied by another thread.
        self.rejected: dict[str, int] = dict.fromkeys(REJECT_REASONS, 0)
        self.undelivered = 0


class Measurements(Refusals):
    """Counters and the times of the last requests of one model.

    Only the data thread writes. A reader may find the newest request half written, which
    no statistic over hundreds can tell.
    """

    def __init__(self) -> None:
        """Start at zero."""
        super().__init__()
        self.asked = 0
        self.samples = 0
        self.answered = 0
        self.expired = 0
        self.cancelled = 0
        self.failed = 0
        self.batches = 0
        self.streams = 0
        self.generation = 0
        self._generations = np.zeros(KEPT, dtype=np.int64)
        # NaN where a request does not tell what a frame takes.
        self._frame_us = np.full(KEPT, np.nan)
        self._total_us = np.zeros(KEPT)
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
        self._timeouts_us[self.asked % RECENT] = np.nan if timeout_us is None else timeout_us
        self.asked += 1

    def recent_timeouts_us(self) -> Times:
        """What the last requests that have a deadline were given from arrival on, in microseconds, in no order."""
        timeouts_us: Times = self._timeouts_us[~np.isnan(self._timeouts_us)]
        return timeouts_us

    def recent_compute_us(self, generation: int | None = None) -> Times:
        """Compute of one frame, which is what latency tables predict, in the last requests.

        That of a batch counts as its time over its cost on the batch curve.

        Args:
            generation: Only requests that it answered; None for all.

        Returns:
            Microseconds, at most `RECENT` of them, oldest first.
        """
        return self._known(self._last(RECENT, generation))

    def compute_us_since(self, answered: int, generation: int) -> Times:
        """Compute of the requests of a single sample that a generation answered since a count of answers.

        Args:
            answered: What was counted as answered then.
            generation: Only requests that it answered.

        Returns:
            Microseconds, oldest first; at most `KEPT` requests are looked back.
        """
        return self._known(self._last(self.answered - answered, generation))

    def times_since(self, answered: int) -> tuple[int, Times, Times]:
        """Times of the requests since a count of answers, whichever generation answered.

        Args:
            answered: What the last call counted; 0 at first.

        Returns:
            The count of answers up to which they are; compute of one frame where it is known; and the requests from
            arrival until the reply was sent. Both in microseconds, at most `KEPT` of them, oldest first.
        """
        # Read once: the data thread goes on counting.
        newest = self.answered
        rows = self._rows(newest - answered, newest)
        return newest, self._known(rows), self._total_us[rows]

    def recent_total_us(self, generation: int | None = None) -> Times:
        """The last requests from arrival until the reply was sent; see `recent_compute_us`."""
        return self._total_us[self._last(RECENT, generation)]

    def statistics(self, queue_depth: int, last_progress_s: float) -> Statistics:
        """A snapshot."""
        return Statistics(
            received=self.asked,
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


def together(
    models: Sequence[Measurements],
    unnamed: Sequence[Refusals],
    received: int,
    queue_depth: int,
    last_progress_s: float,
) -> Statistics:
    """A snapshot of all models together.

    Args:
        models: Of each.
        unnamed: What was refused before its model was known, by who refused it.
        received: Messages of every type.
        queue_depth: Requests that wait.
        last_progress_s: When the loop last turned, in seconds.
    """
    each = [model.statistics(0, 0.0) for model in models]
    refusals: list[Refusals] = [*models, *unnamed]
    summed = {
        name: sum(getattr(one, name) for one in each)
        for name in ("samples", "answered", "expired", "cancelled", "failed", "batches", "streams")
    }
    return Statistics(
        received=received,
        rejected={reason: sum(one.rejected[reason] for one in refusals) for reason in REJECT_REASONS},
        undelivered=sum(one.undelivered for one in refusals),
        queue_depth=queue_depth,
        last_progress_s=last_progress_s,
        generation=max(one.generation for one in each),
        **summed,
    )
