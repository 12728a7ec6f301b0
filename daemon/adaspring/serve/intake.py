"""Takes messages in: requests into the queue, pieces into their streams, queries to their answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from adaspring.errors import ProtocolError
from adaspring.serve import protocol
from adaspring.serve.lane import Lane
from adaspring.serve.measurements import Refusals
from adaspring.serve.outbox import Outbox
from adaspring.serve.protocol import ErrorHeader, InferRequest, Limits, Message, Statistics
from adaspring.serve.queue import RequestQueue, Window, Work
from adaspring.serve.shed import Shedder
from adaspring.serve.sockets import split_envelope
from adaspring.serve.streams import Streams

_Envelope = list[bytes]
_HEADER_AT = 2


class Intake:
    """Decodes messages and does what they ask, except to compute. The data thread uses it.

    Attributes:
        received: Messages of every type.
        unnamed: What was refused before its model was known.
        turned_away: Requests for which there was no room.
        shedder: Turns work away in an emergency; replaced by another thread by one assignment, None while there
            is none.
        stopping: Whether READY answers no.
    """

    def __init__(
        self,
        *,
        queue: RequestQueue,
        streams: Streams,
        outbox: Outbox,
        lanes: Mapping[str, Lane],
        limits: Limits,
        statistics: Callable[[str | None], Statistics],
        expire: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        """Wire an intake.

        Args:
            queue: Where requests wait.
            streams: Where pieces go.
            outbox: Where answers go.
            lanes: The models that are served, by name.
            limits: What a message may be.
            statistics: The answer to STATS, about one model or all.
            expire: Answers those who wait too long: a full queue may have such.
            clock: Monotonic, in seconds.
        """
        self.received = 0
        self.unnamed = Refusals()
        self.turned_away = 0
        self.shedder: Shedder | None = None
        self.stopping = False
        self._queue = queue
        self._streams = streams
        self._outbox = outbox
        self._lanes = lanes
        self._models = {name: lane.model for name, lane in lanes.items()}
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
        self.received += 1
        envelope, frames = split_envelope(parts)
        try:
            message = protocol.open_request(frames, self._limits)
            if message.type == protocol.INFER:
                self._enqueue(envelope, protocol.decode_infer(message, self._models, self._limits), None)
                return
            stream = self._stream_types.get(message.type)
            if stream is not None:
                answer = stream(envelope, message)
            else:
                header = protocol.decode_query(message, self._models, self._limits)
                answer = self._queries[message.type](envelope, header)
            if answer is not None:
                self._outbox.send(envelope, protocol.encode_answer(answer), self.unnamed)
        except ProtocolError as error:
            request_id, sequence = "", None
            if len(frames) > _HEADER_AT:
                request_id = protocol.read_id(frames[_HEADER_AT], self._limits)
                sequence = 0 if frames[_HEADER_AT - 1] == protocol.PUSH else None
            refusal = ErrorHeader(request_id, error.code, str(error), sequence=sequence)
            self._outbox.refuse(envelope, error.reason, refusal, self.unnamed)

    def count_streams(self) -> None:
        """Note how many streams each model has, after some were opened or closed."""
        for name, lane in self._lanes.items():
            lane.measurements.streams = self._streams.of(name)

    def _enqueue(self, envelope: _Envelope, request: InferRequest, window: Window | None) -> None:
        queue, counts = self._queue, self._lanes[request.model].measurements
        counts.samples += request.samples
        counts.ask(request.timeout_us)
        sequence = None if window is None else window.sequence
        shedder = self.shedder
        wait_ms = 0 if shedder is None else shedder.wait_ms(queue.service_s(request.model), self._clock())
        if wait_ms:
            sentence = "the device is in an emergency and sheds load; try again later"
            refusal = ErrorHeader(request.id, "UNAVAILABLE", sentence, wait_ms, sequence)
            self._outbox.refuse(envelope, "shed", refusal, counts)
            return
        if queue.full and not self._makes_room(envelope, request, sequence):
            return
        queue.push(envelope, request, self._clock(), window)

    def _makes_room(self, envelope: _Envelope, request: InferRequest, sequence: int | None) -> bool:
        """Whether a request may join the full queue; where it may not, its client was told."""
        queue = self._queue
        self._expire()
        if not queue.full:
            return True
        self.turned_away += 1
        work = queue.make_room(envelope[0])
        sentence = f"{queue.capacity} requests wait already; try again later"
        hint_ms = queue.retry_after_ms()
        if work is None:
            error = ErrorHeader(request.id, "UNAVAILABLE", sentence, hint_ms, sequence)
            self._outbox.refuse(envelope, "queue_full", error, self._lanes[request.model].measurements)
            return False
        turned_away = self._lanes[work.request.model].measurements
        self._outbox.turn_away(work, "queue_full", sentence, turned_away, retry_after_ms=hint_ms)
        return True

    def _open(self, envelope: _Envelope, message: Message) -> protocol.OpenedHeader:
        header, model = protocol.decode_open(message, self._models, self._limits)
        if len(envelope) > 1:
            raise ProtocolError("a REQ socket cannot be pushed results; open streams from a DEALER", reason="stream")
        opened = self._streams.open(envelope[0], header, model, self._lanes[model.name].pipeline)
        self.count_streams()
        return opened

    def _push(self, envelope: _Envelope, message: Message) -> None:
        client = envelope[0]
        piece = protocol.decode_push(message, lambda name: self._streams.model_of(client, name), self._limits)
        for request, window in self._streams.push(client, piece, self._limits.samples):
            self._enqueue(envelope, request, window)

    def _close(self, envelope: _Envelope, message: Message) -> protocol.ClosedHeader:
        header = protocol.decode_close(message, self._limits)
        windows = self._streams.close(envelope[0], header.id)
        self.count_streams()
        return protocol.ClosedHeader(header.id, windows, len(self._cancelled(envelope[0], header.id)))

    def _cancelled(self, client: bytes, request_id: str) -> list[Work]:
        """Take what a client sent under an id out of the queue, and count it."""
        cancelled = self._queue.cancel(client, request_id)
        for work in cancelled:
            self._lanes[work.request.model].measurements.cancelled += 1
        return cancelled

    def _live(self, _envelope: _Envelope, header: protocol.QueryHeader) -> protocol.LiveHeader:
        return protocol.LiveHeader(header.id, live=True)

    def _ready(self, _envelope: _Envelope, header: protocol.QueryHeader) -> protocol.ReadyHeader:
        name = header.model_name or (next(iter(self._lanes)) if len(self._lanes) == 1 else "")
        return protocol.ReadyHeader(header.id, name, ready=not self.stopping)

    def _meta(self, _envelope: _Envelope, header: protocol.QueryHeader) -> protocol.MetaHeader:
        lane = self._lanes[protocol.find_model(header.model_name, "", self._models).name]
        generation = lane.active.current
        name = generation.subnet.name
        parameters = protocol.MetaParameters(name, generation.number, lane.extra, lane.model.raw)
        return protocol.meta_header(header.id, lane.model, parameters)

    def _stats(self, _envelope: _Envelope, header: protocol.QueryHeader) -> protocol.StatsHeader:
        return protocol.StatsHeader(header.id, self._statistics(header.model_name or None))

    def _cancel(self, envelope: _Envelope, header: protocol.QueryHeader) -> protocol.CancelHeader:
        cancelled = self._cancelled(envelope[0], header.parameters.cancel_id or "")
        for work in cancelled:
            counts = self._lanes[work.request.model].measurements
            self._outbox.fail(work, "CANCELLED", "the client cancelled the request", counts)
        return protocol.CancelHeader(header.id, cancelled=bool(cancelled))
