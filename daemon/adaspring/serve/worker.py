"""Computes what waits: one request or a batch of them, with one subnet of their model, and answers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

import msgspec
import numpy as np
from msgspec.structs import replace

from adaspring.engine.base import Batch, Generation
from adaspring.errors import FeatureError
from adaspring.serve import protocol
from adaspring.serve.batching import Batching
from adaspring.serve.lane import Lane
from adaspring.serve.outbox import Outbox
from adaspring.serve.protocol import ReplyParameters
from adaspring.serve.queue import RequestQueue, Work

_log = logging.getLogger(__name__)

_NOTHING: Batch = np.empty(0, dtype=np.float32)


class Worker:
    """Takes requests from the queue and answers them. The data thread uses it."""

    def __init__(
        self,
        *,
        queue: RequestQueue,
        outbox: Outbox,
        lanes: Mapping[str, Lane],
        clock: Callable[[], float],
    ) -> None:
        """Wire a worker.

        Args:
            queue: What waits.
            outbox: Where answers go.
            lanes: The models that are served, by name.
            clock: Monotonic, in seconds.
        """
        self._queue = queue
        self._outbox = outbox
        self._lanes = lanes
        self._clock = clock
        self._failed: dict[str, int] = {}

    def expire(self) -> None:
        """Answer those whose deadline has passed."""
        for work in self._queue.expire(self._clock()):
            counts = self._lanes[work.request.model].measurements
            counts.expired += 1
            waited_us = f"{work.request.timeout_us} us passed before the request was computed"
            self._outbox.fail(work, "DEADLINE_EXCEEDED", waited_us, counts)

    def compute(self) -> bool:
        """Compute and answer what is next.

        Returns:
            False if nothing waits.
        """
        if not self._queue:
            return False
        lane = self._lanes[self._queue.next_model]
        # Read once: whatever is published meanwhile, this subnet answers the batch.
        generation, batching = lane.active.current, lane.batching
        taken = self._next(lane, generation, batching)
        began_s = self._clock()
        works, batch = self._prepared(lane, taken)
        if not works:
            return True
        started_s = self._clock()
        try:
            outputs = generation.subnet.run(batch)
        # An engine may fail in any way of its library's; one request must not end the loop.
        except Exception as error:  # noqa: BLE001
            self._fail(lane, generation, works, error)
            return True
        self._answer(works, outputs, _Run(lane, generation, batching, began_s, started_s, self._clock()))
        return True

    def _next(self, lane: Lane, generation: Generation, batching: Batching) -> list[Work]:
        waiting = len(self._queue)
        if waiting > 1:
            # Half of who waits: while the other half is computed, the clients of the first make their next requests.
            # All at once, engine and clients would wait for each other in turns.
            half = (waiting + 1) // 2
            lane.crowded(half)
            warmed = generation.subnet.batch_sizes
            largest = min(batching.largest(generation.number, warmed), half)
            if largest > 1:
                return self._queue.pop(largest, batching.fits(self._clock(), warmed))
        return self._queue.pop()

    def _prepared(self, lane: Lane, works: list[Work]) -> tuple[list[Work], Batch]:
        """Those whose samples can be preprocessed, and their inputs; the others are refused."""
        if len(works) == 1 and not works[0].request.raw:
            return works, works[0].request.batch
        inputs = [(work, batch) for work in works if (batch := self._inputs(lane, work)) is not None]
        return [work for work, _ in inputs], np.concatenate([batch for _, batch in inputs] or [_NOTHING])

    def _inputs(self, lane: Lane, work: Work) -> Batch | None:
        """Inputs of a request; None where its samples are refused."""
        request, pipeline = work.request, lane.pipeline
        if not request.raw or pipeline is None:
            return request.batch
        try:
            return np.stack([pipeline.window(window) for window in request.batch])
        except FeatureError as error:
            lane.measurements.rejected["samples"] += 1
            self._outbox.fail(work, "INVALID_ARG", str(error), lane.measurements)
            return None

    def _answer(self, works: list[Work], outputs: Batch, run: _Run) -> None:
        model, counts = run.lane.model, run.lane.measurements
        compute_s = run.computed_s - run.started_s
        frame_us = run.batching.learn(run.generation.number, len(outputs), compute_s) * 1e6
        replies, row = [], 0
        for work in works:
            part = outputs[row : row + work.request.samples]
            replies.append(self._reply(work, part, run, len(works)))
            row += work.request.samples
        # All at once: the I/O thread is woken for the first, and sends the others along.
        for work, frames in zip(works, replies, strict=True):
            self._outbox.send(work.envelope, frames, counts)
        sent_s = self._clock()
        for work in works:
            counts.record(run.generation.number, frame_us, (sent_s - work.arrived_s) * 1e6)
        counts.batches += len(works) > 1
        self._queue.served(model.name, sent_s - run.began_s, len(works))

    @staticmethod
    def _reply(work: Work, outputs: Batch, run: _Run, together: int) -> list[bytes]:
        """Frames of the reply to one of the requests that were computed together."""
        request, window = work.request, work.window
        parameters = ReplyParameters(
            run.generation.subnet.name,
            run.generation.number,
            round((run.began_s - work.arrived_s) * 1e6),
            round((run.computed_s - run.started_s) * 1e6),
            together,
            round((run.started_s - run.began_s) * 1e6) if request.raw else None,
        )
        if window is None:
            return protocol.encode_infer_reply(request.id, run.lane.model, outputs, parameters)
        parameters = replace(parameters, **window._asdict())
        return protocol.encode_result(request.id, run.lane.model, outputs, parameters)

    def _fail(self, lane: Lane, generation: Generation, works: list[Work], error: Exception) -> None:
        model, name = lane.model.name, generation.subnet.name
        # Logged once for each subnet: at a hundred frames a second the journal would hold nothing else.
        if generation.number != self._failed.get(model):
            self._failed[model] = generation.number
            _log.error("subnet %s of %s failed on a request: %s", name, model, error, exc_info=error)
        for work in works:
            lane.measurements.failed += 1
            self._outbox.fail(
                work, "INTERNAL", f"subnet {name} failed; the daemon's journal says how", lane.measurements
            )


class _Run(msgspec.Struct, frozen=True, gc=False):
    """What computed a batch, and when: preprocessing began, compute started, compute was done, in seconds."""

    lane: Lane
    generation: Generation
    batching: Batching
    began_s: float
    started_s: float
    computed_s: float
