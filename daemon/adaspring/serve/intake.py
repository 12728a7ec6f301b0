"""Takes messages in: requests into the queue, pieces into their streams, queries to their answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from adaspring.engine.base import Active
from adaspring.errors import ProtocolError
from adaspring.serve import protocol
from adaspring.serve.measurements import Measurements
from adaspring.serve.outbox import Outbox
from adaspring.serve.protocol import ErrorHeader, InferRequest, Limits, Message, ModelSignature, Statistics
from adaspring.serve.queue import RequestQueue, Window
from adaspring.serve.shed import Shedder
from adaspring.serve.sockets import split_envelope
from adaspring.serve.streams import Streams

_Envelope = list[bytes]
_HEADER_AT = 2


class Intake:
    """Decodes messages and does what they ask, except to compute. The data thread uses it.

    Attributes:
        extra: What META adds; replaced by another thread by one assignment.
        shedder: Turns work away in an emergency; replaced likewise, None while there is none.
        stopping: Whether READY answers no.
    """

    def __init__(
        self,
        *,
        queue: RequestQueue,
        streams: Streams,
        outbox: Outbox,
        measurements: Measurements,
        active: Active,
        model: ModelSignature,
        limits: Limits,
        statistics: Callable[[], Statistics],
        expire: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        """Wire an intake.

        Args:
            queue: Where requests wait.
            streams: Where pieces go.
            outbox: Where answers go.
            measurements: What is counted.
            active: The subnet, for META.
            model: What requests are held against.
            limits: What a message may be.
            statistics: The answer to STATS.
            expire: Answers those who wait too long: a full queue may have such.
            clock: Monotonic, in seconds.
        """
        self.extra: dict[str, Any] = {}
        self.shedder: Shedder | None = None
        self.stopping = False
        self._queue = queue
        self._streams = streams
        self._outbox = outbox
        self._measurements = measurements
        self._active = active
        self._model = model
        self._limits = limits
        self._statistics = statistics
        self._expire = expire
        self._clock = clock
        self._queries: dict[bytes, Callable[[_Envelope, protocol.QueryHeader], msgspec.Struct]] = {
            protocol.LIVE: self._live,
            protocol.READY: self._ready,
            protocol.META: self._meta,
            protocol.STATS: self._stats,
            protocol.CANCEL: self._cancel,
        }
        self._stream_types: dict[bytes, Callable[[_Envelope, Message], msgspec.Struct | None]] = {
            protocol.OPEN: self._open,
            protocol.PUSH: self._push,
            protocol.CLOSE: self._close,
        }

    def take(self, parts: list[bytes]) -> None:
        """Take one message in, and answer it unless it waits for compute."""
        self._measurements.received += 1
        envelope, frames = split_envelope(parts)
        try:
            message = protocol.open_request(frames, self._limits)
            if message.type == protocol.INFER:
                self._enqueue(envelope, protocol.decode_infer(message, self._model, self._limits), None)
                return
            stream = self._stream_types.get(message.type)
            if stream is not None:
                answer = stream(envelope, message)
            else:
                header = protocol.decode_query(message, self._model, self._limits)
                answer = self._queries[message.type](envelope, header)
            if answer is not None:
                self._outbox.send(envelope, protocol.encode_answer(answer))
        except ProtocolError as error:
            request_id, sequence = "", None
            if len(frames) > _HEADER_AT:
                request_id = protocol.read_id(frames[_HEADER_AT], self._limits)
                sequence = 0 if frames[_HEADER_AT - 1] == protocol.PUSH else None
            refusal = ErrorHeader(request_id, error.code, str(error), sequence=sequence)
            self._outbox.refuse(envelope, error.reason, refusal)

    def _enqueue(self, envelope: _Envelope, request: InferRequest, window: Window | None) -> None:
        queue = self._queue
        self._measurements.samples += request.samples
        self._measurements.ask(request.timeout_us)
        sequence = None if window is None else window.sequence
        shedder = self.shedder
        wait_ms = 0 if shedder is None else shedder.wait_ms(queue.service_s, self._clock())
        if wait_ms:
            sentence = "the device is in an emergency and sheds load; try again later"
            self._outbox.refuse(envelope, "shed", ErrorHeader(request.id, "UNAVAILABLE", sentence, wait_ms, sequence))
            return
        if queue.full:
            self._expire()
        if queue.full:
            work = queue.make_room(envelope[0])
            sentence = f"{queue.capacity} requests wait already; try again later"
            hint_ms = queue.retry_after_ms()
            if work is None:
                error = ErrorHeader(request.id, "UNAVAILABLE", sentence, hint_ms, sequence)
                self._outbox.refuse(envelope, "queue_full", error)
                return
            self._outbox.turn_away(work, "queue_full", sentence, retry_after_ms=hint_ms)
        queue.push(envelope, request, self._clock(), window)

    def _open(self, envelope: _Envelope, message: Message) -> protocol.OpenedHeader:
        header = protocol.decode_open(message, self._model, self._limits)
        if len(envelope) > 1:
            raise ProtocolError("a REQ socket cannot be pushed results; open streams from a DEALER", reason="stream")
        opened = self._streams.open(envelope[0], header)
        self._measurements.streams = len(self._streams)
        return opened

    def _push(self, envelope: _Envelope, message: Message) -> None:
        piece = protocol.decode_push(message, self._model, self._limits)
        for request, window in self._streams.push(envelope[0], piece, self._limits.samples):
            self._enqueue(envelope, request, window)

    def _close(self, envelope: _Envelope, message: Message) -> protocol.ClosedHeader:
        header = protocol.decode_close(message, self._limits)
        windows = self._streams.close(envelope[0], header.id)
        self._measurements.streams = len(self._streams)
        dropped = len(self._queue.cancel(envelope[0], header.id))
        self._measurements.cancelled += dropped
        return protocol.ClosedHeader(header.id, windows, dropped)

    def _live(self, _envelope: _Envelope, header: protocol.QueryHeader) -> protocol.LiveHeader:
        return protocol.LiveHeader(header.id, live=True)

    def _ready(self, _envelope: _Envelope, header: protocol.QueryHeader) -> protocol.ReadyHeader:
        return protocol.ReadyHeader(header.id, self._model.name, ready=not self.stopping)

    def _meta(self, _envelope: _Envelope, header: protocol.QueryHeader) -> protocol.MetaHeader:
        generation = self._active.current
        name = generation.subnet.name
        parameters = protocol.MetaParameters(name, generation.number, self.extra, self._model.raw)
        return protocol.meta_header(header.id, self._model, parameters)

    def _stats(self, _envelope: _Envelope, header: protocol.QueryHeader) -> protocol.StatsHeader:
        return protocol.StatsHeader(header.id, self._statistics())

    def _cancel(self, envelope: _Envelope, header: protocol.QueryHeader) -> protocol.CancelHeader:
        cancelled = self._queue.cancel(envelope[0], header.parameters.cancel_id or "")
        for work in cancelled:
            self._measurements.cancelled += 1
            self._outbox.fail(work, "CANCELLED", "the client cancelled the request")
        return protocol.CancelHeader(header.id, cancelled=bool(cancelled))
