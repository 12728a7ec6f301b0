"""The data plane: one ROUTER socket, one thread, one subnet at a time."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
import zmq

from adaspring.engine.base import Active
from adaspring.errors import ProtocolError
from adaspring.serve import protocol
from adaspring.serve.endpoint import Claim
from adaspring.serve.measurements import Measurements, Times
from adaspring.serve.protocol import (
    DEFAULT_LIMITS,
    ErrorHeader,
    Limits,
    Message,
    ModelSignature,
    ReplyParameters,
    Statistics,
)
from adaspring.serve.queue import RequestQueue, Work
from adaspring.serve.sockets import readable, receive, send, split_envelope

_log = logging.getLogger(__name__)

#: Messages taken from the socket between two requests: a flood must not keep the subnet idle.
TAKE_LIMIT = 64
#: A look whether others wait costs as much as decoding a request. While nobody is known
#: to wait, the loop takes one only so often: for so long a late priority may stand behind.
LOOK_S = 1e-3
#: Messages of one client that libzmq may hold in memory for us.
RECEIVE_MARK = 16
#: Replies to one client that it may hold: all that can be refused or expire in a few turns.
SEND_MARK = 1024
#: Seconds in which a stopped loop answers what still waits.
DRAIN_S = 0.8
#: How long replies may still leave after the socket was closed, in milliseconds.
LINGER_MS = 200


class DataPlane:
    """Answers clients with the active subnet.

    `bind` runs in the thread that starts things, so that its errors surface there; `run`
    in the data thread. `stop`, `statistics` and the two ``recent_…`` methods may be called
    from any thread.

    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        claim: Claim,
        active: Active,
        model: ModelSignature,
        *,
        limits: Limits = DEFAULT_LIMITS,
        queue_size: int = 128,
        clock: Callable[[], float] = time.monotonic,
        idle_s: float = 0.5,
    ) -> None:
        """Put a socket in front of the active subnet.

        Args:
            context: Makes the socket.
            claim: Where to serve.
            active: The reference that a swap assigns.
            model: What requests are held against.
            limits: What a message may be.
            queue_size: Requests that may wait.
            clock: Monotonic, in seconds.
            idle_s: The longest wait for a message, and so for `stop`, in seconds.
        """
        self._claim = claim
        self._active = active
        self._model = model
        self._limits = limits
        self._clock = clock
        self._queue = RequestQueue(queue_size)
        self._measurements = Measurements()
        self._extra: dict[str, Any] = {}
        self._stopping = False
        self._last_progress_s = self._looked_s = clock()
        self._failed_generation = 0
        self._queries: dict[bytes, Callable[[list[bytes], protocol.QueryHeader], msgspec.Struct]] = {
            protocol.LIVE: self._live,
            protocol.READY: self._ready,
            protocol.META: self._meta,
            protocol.STATS: self._stats,
            protocol.CANCEL: self._cancel,
        }

        self._socket = context.socket(zmq.ROUTER)
        self._socket.router_mandatory = True
        self._socket.rcvtimeo = max(1, int(idle_s * 1e3))
        self._socket.rcvhwm = RECEIVE_MARK
        self._socket.sndhwm = SEND_MARK
        self._socket.maxmsgsize = limits.message_bytes
        self._socket.linger = LINGER_MS

    @property
    def extra(self) -> dict[str, Any]:
        """What META adds for clients; assign a new one to change it."""
        return self._extra

    @extra.setter
    def extra(self, extra: dict[str, Any]) -> None:
        # What cannot be encoded must fail here and not in the data thread.
        msgspec.json.encode(extra)
        self._extra = extra

    def bind(self) -> None:
        """Open the endpoint.

        Raises:
            ConfigError: If it cannot be bound; the plane is then closed.
        """
        try:
            self._claim.bind(self._socket)
        except BaseException:
            self.close()
            raise

    def run(self) -> None:
        """Serve until `stop`, then answer what waits, and close."""
        try:
            while not self._stopping:
                self._turn(wait=True)
            drained_by_s = self._clock() + DRAIN_S
            while self._turn(wait=False) and self._clock() < drained_by_s:
                pass
            for work in self._queue.clear():
                self._count_rejected("draining")
                self._fail(work, "UNAVAILABLE", "the daemon is stopping; connect again")
        finally:
            self.close()

    def close(self) -> None:
        """Close the socket. `run` does it; only a plane that never ran needs it."""
        self._socket.close()

    def stop(self) -> None:
        """Let `run` end within its idle time and `DRAIN_S`. Safe in a signal handler."""
        self._stopping = True

    def statistics(self) -> Statistics:
        """What happened so far."""
        return self._measurements.statistics(len(self._queue), self._last_progress_s)

    def recent_compute_us(self, generation: int | None = None) -> Times:
        """Compute of the last requests of a single sample, which is what latency tables predict.

        Args:
            generation: Only requests that it answered; None for all.

        Returns:
            Microseconds, at most `measurements.RECENT` of them, in no order.
        """
        return self._measurements.recent_compute_us(generation)

    def recent_total_us(self, generation: int | None = None) -> Times:
        """The last requests from arrival until the reply was sent; see `recent_compute_us`."""
        return self._measurements.recent_total_us(generation)

    def _turn(self, *, wait: bool) -> bool:
        """Take in what has come and compute one request.

        Returns:
            False if there was nothing to do.
        """
        taken = 0
        if self._queue or not wait or self._last_progress_s - self._looked_s >= LOOK_S:
            self._looked_s = self._last_progress_s
            while taken < TAKE_LIMIT and readable(self._socket):
                self._admit(receive(self._socket))
                taken += 1
        if self._queue:
            self._expire()
        elif wait:
            # A receive that blocks saves the system call and the wake-up of a poll, and
            # who comes to an idle daemon is computed at once, without a look for others.
            with suppress(zmq.Again):
                self._admit(receive(self._socket))
        work = self._queue.pop()
        if work is not None:
            self._compute(work)
        self._last_progress_s = self._clock()
        return work is not None or taken > 0

    def _admit(self, parts: list[bytes]) -> None:
        self._measurements.received += 1
        envelope, frames = split_envelope(parts)
        try:
            message = protocol.open_request(frames, self._limits)
            if message.type == protocol.INFER:
                self._enqueue(envelope, message)
            else:
                header = protocol.decode_query(message, self._model, self._limits)
                answer = self._queries[message.type](envelope, header)
                self._reply(envelope, protocol.encode_answer(answer))
        except ProtocolError as error:
            self._count_rejected(error.reason)
            header_at = 2
            request_id = protocol.read_id(frames[header_at], self._limits) if len(frames) > header_at else ""
            self._reply(envelope, protocol.encode_error(ErrorHeader(request_id, error.code, str(error))))

    def _enqueue(self, envelope: list[bytes], message: Message) -> None:
        request = protocol.decode_infer(message, self._model, self._limits)
        self._measurements.samples += len(request.batch)
        now_s = self._clock()
        if self._queue.full:
            self._expire()
        if self._queue.full:
            self._count_rejected("queue_full")
            error = ErrorHeader(
                request.id,
                "UNAVAILABLE",
                f"{self._queue.capacity} requests wait already; try again later",
                self._queue.retry_after_ms(),
            )
            self._reply(envelope, protocol.encode_error(error))
            return
        self._queue.push(envelope, request, now_s)

    def _expire(self) -> None:
        for work in self._queue.expire(self._clock()):
            self._measurements.expired += 1
            waited_us = f"{work.request.timeout_us} us passed before the request was computed"
            self._fail(work, "DEADLINE_EXCEEDED", waited_us)

    def _compute(self, work: Work) -> None:
        request = work.request
        # Read once: whatever is published meanwhile, this subnet answers the batch.
        generation = self._active.current
        started_s = self._clock()
        try:
            outputs = generation.subnet.run(request.batch)
        # An engine may fail in any way of its library's; one request must not end the loop.
        except Exception as error:  # noqa: BLE001
            self._measurements.failed += 1
            self._log_failure(generation.number, generation.subnet.name, error)
            self._fail(work, "INTERNAL", f"subnet {generation.subnet.name} failed; the daemon's journal says how")
            return
        computed_s = self._clock()
        compute_us = (computed_s - started_s) * 1e6
        parameters = ReplyParameters(
            subnet=generation.subnet.name,
            generation=generation.number,
            queue_us=round((started_s - work.arrived_s) * 1e6),
            compute_us=round(compute_us),
        )
        self._reply(work.envelope, protocol.encode_infer_reply(request.id, self._model, outputs, parameters))
        sent_s = self._clock()
        self._queue.served(sent_s - started_s)
        self._measurements.record(generation.number, len(request.batch), compute_us, (sent_s - work.arrived_s) * 1e6)

    def _log_failure(self, generation: int, subnet: str, error: Exception) -> None:
        # Once for each subnet: at a hundred frames a second the journal would hold nothing else.
        if generation != self._failed_generation:
            self._failed_generation = generation
            _log.error("subnet %s failed on a request: %s", subnet, error, exc_info=error)

    def _live(self, _envelope: list[bytes], header: protocol.QueryHeader) -> protocol.LiveHeader:
        return protocol.LiveHeader(header.id, live=True)

    def _ready(self, _envelope: list[bytes], header: protocol.QueryHeader) -> protocol.ReadyHeader:
        return protocol.ReadyHeader(header.id, self._model.name, ready=not self._stopping)

    def _meta(self, _envelope: list[bytes], header: protocol.QueryHeader) -> protocol.MetaHeader:
        generation = self._active.current
        parameters = protocol.MetaParameters(generation.subnet.name, generation.number, self._extra)
        return protocol.meta_header(header.id, self._model, parameters)

    def _stats(self, _envelope: list[bytes], header: protocol.QueryHeader) -> protocol.StatsHeader:
        return protocol.StatsHeader(header.id, self.statistics())

    def _cancel(self, envelope: list[bytes], header: protocol.QueryHeader) -> protocol.CancelHeader:
        cancelled = self._queue.cancel(envelope[0], header.parameters.cancel_id or "")
        for work in cancelled:
            self._measurements.cancelled += 1
            self._fail(work, "CANCELLED", "the client cancelled the request")
        return protocol.CancelHeader(header.id, cancelled=bool(cancelled))

    def _count_rejected(self, reason: str) -> None:
        self._measurements.rejected[reason] += 1

    def _fail(self, work: Work, code: str, error: str) -> None:
        self._reply(work.envelope, protocol.encode_error(ErrorHeader(work.request.id, code, error)))

    def _reply(self, envelope: list[bytes], frames: list[bytes]) -> None:
        if not send(self._socket, [*envelope, *frames]):
            self._measurements.undelivered += 1
