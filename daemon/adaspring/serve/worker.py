"""Computes what waits: one request or a batch of them, with one subnet, and answers."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace

from adaspring.engine.base import Active, Batch, Generation
from adaspring.errors import FeatureError
from adaspring.features import Pipeline
from adaspring.serve import protocol
from adaspring.serve.batching import Batching
from adaspring.serve.measurements import Measurements
from adaspring.serve.outbox import Outbox
from adaspring.serve.protocol import ModelSignature, ReplyParameters
from adaspring.serve.queue import RequestQueue, Work

_log = logging.getLogger(__name__)

_NOTHING: Batch = np.empty(0, dtype=np.float32)


class Worker:
    """Takes requests from the queue and answers them. The data thread uses it.

    Attributes:
        batching: How many to compute at once; replaced by another thread by one assignment.
        crowd: The most requests that waited together since another thread set it to zero.
    """

    def __init__(
        self,
        *,
        queue: RequestQueue,
        outbox: Outbox,
        measurements: Measurements,
        active: Active,
        model: ModelSignature,
        pipeline: Pipeline | None,
        clock: Callable[[], float],
    ) -> None:
        """Wire a worker.

        Args:
            queue: What waits.
            outbox: Where answers go.
            measurements: Where times are kept.
            active: The subnet.
            model: What replies say of it.
            pipeline: Makes inputs of raw samples; None where none are taken.
            clock: Monotonic, in seconds.
        """
        self.batching = Batching({})
        self.crowd = 0
        self._queue = queue
        self._outbox = outbox
        self._measurements = measurements
        self._active = active
        self._model = model
        self._pipeline = pipeline
        self._clock = clock
        self._failed_generation = 0

    def expire(self) -> None:
        """Answer those whose deadline has passed."""
        for work in self._queue.expire(self._clock()):
            self._measurements.expired += 1
            waited_us = f"{work.request.timeout_us} us passed before the request was computed"
            self._outbox.fail(work, "DEADLINE_EXCEEDED", waited_us)

    def compute(self) -> bool:
        """Compute and answer what is next.

        Returns:
            False if nothing waits.
        """
        # Read once: whatever is published meanwhile, this subnet answers the batch.
        generation, batching = self._active.current, self.batching
        taken = self._next(generation, batching)
        if not taken:
            return False
        began_s = self._clock()
        works, batch = self._prepared(taken)
        if not works:
            return True
        started_s = self._clock()
        try:
            outputs = generation.subnet.run(batch)
        # An engine may fail in any way of its library's; one request must not end the loop.
        except Exception as error:  # noqa: BLE001
            self._failed(generation, works, error)
            return True
        self._answer(works, outputs, _Run(generation, batching, began_s, started_s, self._clock()))
        return True

    def _next(self, generation: Generation, batching: Batching) -> list[Work]:
        waiting = len(self._queue)
        if waiting > 1:
            self.crowd = max(self.crowd, waiting)
            warmed = generation.subnet.batch_sizes
            largest = batching.largest(generation.number, warmed)
            if largest > 1:
                return self._queue.pop(largest, batching.fits(self._clock(), warmed))
        return self._queue.pop()

    def _prepared(self, works: list[Work]) -> tuple[list[Work], Batch]:
        """Those whose samples can be preprocessed, and their inputs; the others are refused."""
        if len(works) == 1 and not works[0].request.raw:
            return works, works[0].request.batch
        inputs = [(work, batch) for work in works if (batch := self._inputs(work)) is not None]
        return [work for work, _ in inputs], np.concatenate([batch for _, batch in inputs] or [_NOTHING])

    def _inputs(self, work: Work) -> Batch | None:
        """Inputs of a request; None where its samples are refused."""
        request = work.request
        if not request.raw or self._pipeline is None:
            return request.batch
        try:
            return np.stack([self._pipeline.window(window) for window in request.batch])
        except FeatureError as error:
            self._measurements.rejected["samples"] += 1
            self._outbox.fail(work, "INVALID_ARG", str(error))
            return None

    def _answer(self, works: list[Work], outputs: Batch, run: _Run) -> None:
        compute_s = run.computed_s - run.started_s
        frame_us = run.batching.learn(run.generation.number, len(outputs), compute_s) * 1e6
        row = 0
        for work in works:
            request = work.request
            window = work.window
            parameters = ReplyParameters(
                run.generation.subnet.name,
                run.generation.number,
                round((run.began_s - work.arrived_s) * 1e6),
                round(compute_s * 1e6),
                len(works),
                round((run.started_s - run.began_s) * 1e6) if request.raw else None,
            )
            part = outputs[row : row + request.samples]
            if window is None:
                frames = protocol.encode_infer_reply(request.id, self._model, part, parameters)
            else:
                parameters = replace(parameters, **window._asdict())
                frames = protocol.encode_result(request.id, self._model, part, parameters)
            self._outbox.send(work.envelope, frames)
            row += request.samples
            self._measurements.record(run.generation.number, frame_us, (self._clock() - work.arrived_s) * 1e6)
        self._measurements.batches += len(works) > 1
        self._queue.served(self._clock() - run.began_s, len(works))

    def _failed(self, generation: Generation, works: list[Work], error: Exception) -> None:
        # Logged once for each subnet: at a hundred frames a second the journal would hold nothing else.
        if generation.number != self._failed_generation:
            self._failed_generation = generation.number
            _log.error("subnet %s failed on a request: %s", generation.subnet.name, error, exc_info=error)
        for work in works:
            self._measurements.failed += 1
            self._outbox.fail(
                work, "INTERNAL", f"subnet {generation.subnet.name} failed; the daemon's journal says how"
            )


class _Run(NamedTuple):
    """What computed a batch, and when: preprocessing began, compute started, compute was done, in seconds."""

    generation: Generation
    batching: Batching
    began_s: float
    started_s: float
    computed_s: float
