"""What the monitor learns from the frames themselves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from adaspring.serve.lane import Lane
from adaspring.serve.server import DataPlane

#: Frames of the active generation that a percentile is taken of at least.
LEAST_FRAMES = 20


class FrameCounters:
    """Event rate and latency, read from the data plane by the control thread.

    The first context is sensed before there is a subnet to serve with, so the counters
    stand at nothing until `attach`.
    """

    def __init__(self) -> None:
        """Count nothing yet."""
        self._serving: tuple[DataPlane, Lane] | None = None
        self._answered = 0

    def attach(self, data: DataPlane, lane: Lane) -> None:
        """Count the frames of a model in a data plane and time those of its active subnet."""
        self._serving = (data, lane)

    @property
    def received(self) -> int:
        """Samples asked for since start."""
        return self._serving[1].measurements.samples if self._serving else 0

    @property
    def latency_p95_us(self) -> float | None:
        """95th percentile of the compute of recent frames of the active subnet; None while there are few."""
        recent_us = self.recent_us()
        return float(np.percentile(recent_us, 95)) if len(recent_us) >= LEAST_FRAMES else None

    @property
    def queue_depth(self) -> int:
        """Requests that wait."""
        if self._serving is None:
            return 0
        data, lane = self._serving
        return data.statistics(lane.model.name).queue_depth

    @property
    def deadline_us(self) -> float | None:
        """What 95 of 100 recent requests with a deadline were given at least, in microseconds; None while few."""
        timeouts_us = self._serving[1].measurements.recent_timeouts_us() if self._serving else np.empty(0)
        return float(np.percentile(timeouts_us, 5)) if len(timeouts_us) >= LEAST_FRAMES else None

    def recent_us(self) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """Compute of recent frames of the active subnet, in microseconds."""
        if self._serving is None:
            return np.empty(0)
        lane = self._serving[1]
        return lane.measurements.recent_compute_us(lane.active.current.number)

    def recent_total_us(self) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """The same requests from arrival until the reply was sent, in microseconds."""
        if self._serving is None:
            return np.empty(0)
        lane = self._serving[1]
        return lane.measurements.recent_total_us(lane.active.current.number)

    def new_us(self) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """Compute of the frames that the active subnet answered since the last call, oldest first."""
        if self._serving is None:
            return np.empty(0)
        lane = self._serving[1]
        since, self._answered = self._answered, lane.measurements.answered
        return lane.measurements.compute_us_since(since, lane.active.current.number)


class AllFrames:
    """What the monitor learns from the frames of several models together; see `context.Counters`."""

    def __init__(self, models: Sequence[FrameCounters]) -> None:
        """Add up the counters of models."""
        self._models = models
        #: Computes and deadlines of different models say nothing together; each model has its own.
        self.latency_p95_us: float | None = None
        self.deadline_us: float | None = None

    @property
    def received(self) -> int:
        """Samples asked for since start."""
        return sum(model.received for model in self._models)

    @property
    def queue_depth(self) -> int:
        """Requests that wait."""
        return sum(model.queue_depth for model in self._models)
