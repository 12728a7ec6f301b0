"""The blocking client."""

from __future__ import annotations

import time
from types import TracebackType
from typing import NamedTuple, TypeVar

import msgspec
import numpy.typing as npt
import zmq

from adaspring.client.core import Codec, Incoming, Outgoing, Result, result
from adaspring.client.endpoints import connect, default_endpoint, no_answer
from adaspring.errors import ConnectError, TimedOutError
from adaspring.serve import protocol
from adaspring.serve.protocol import DEFAULT_LIMITS, MetaHeader, Statistics

H = TypeVar("H", bound=msgspec.Struct)


class _Answer(NamedTuple):
    incoming: Incoming
    round_trip_us: float


class Client:
    """Asks the daemon, and waits for its answer.

    A request that stays without an answer is sent again over a new connection, so a
    client outlives a restart of the daemon. One thread uses it.
    """

    def __init__(
        self,
        endpoint: str | None = None,
        *,
        model: str | None = None,
        timeout_s: float = 1.0,
        retries: int = 2,
    ) -> None:
        """Connect; whether anybody is there shows at the first request.

        Args:
            endpoint: None for `default_endpoint`.
            model: Name of the model; None for the one that is served.
            timeout_s: Wait for an answer before asking again, in seconds.
            retries: Times to ask again.

        Raises:
            ConnectError: If the endpoint is none.
        """
        self.endpoint = endpoint or default_endpoint()
        self._timeout_s = timeout_s
        self._retries = retries
        self._codec = Codec(model)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        try:
            self._socket = self._connect()
        except BaseException:
            self._context.term()
            raise

    def __enter__(self) -> Client:  # noqa: PYI034 - typing.Self came with Python 3.11
        """Do nothing: the client is connected already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()
        self._context.term()

    def infer(self, x: npt.ArrayLike, *, timeout_us: int | None = None, priority: int | None = None) -> Result:
        """Outputs of the active subnet.

        Args:
            x: One sample or a batch, in the units that META names.
            timeout_us: After which the daemon need not compute it any more, in
                microseconds; None for the time that this client waits.
            priority: 1, the highest, to 9.

        Raises:
            ReplyError: If the daemon refused it; its subclass says why.
            ConnectError: If nobody is there.
            TimedOutError: If no answer came in time.
            ProtocolError: If `x` cannot be sent, or the answer breaks the protocol.
        """
        metadata = self._codec.metadata or self.meta()
        timeout_us = timeout_us or int(self._timeout_s * 1e6)
        answer = self._ask(self._codec.infer(x, metadata, timeout_us=timeout_us, priority=priority))
        reply = self._codec.reply(answer.incoming)
        return result(reply, self._codec.metadata or self.meta(), answer.round_trip_us)

    def meta(self) -> MetaHeader:
        """Model, tensors and active subnet; raises as `infer` does."""
        return self._codec.meta(self._ask(self._codec.query(protocol.META)).incoming)

    def live(self) -> bool:
        """Whether the daemon answers."""
        try:
            return self._query(protocol.LIVE, protocol.LiveHeader).live
        except (ConnectError, TimedOutError):
            return False

    def ready(self) -> bool:
        """Whether the daemon answers and serves: it does not while it stops.

        Raises:
            NotFoundError: If it serves another model.
        """
        try:
            return self._query(protocol.READY, protocol.ReadyHeader).ready
        except (ConnectError, TimedOutError):
            return False

    def stats(self) -> Statistics:
        """Counters of the data plane; raises as `infer` does."""
        return self._query(protocol.STATS, protocol.StatsHeader).statistics

    def _query(self, kind: bytes, header_type: type[H]) -> H:
        answer = self._ask(self._codec.query(kind))
        return self._codec.answer(answer.incoming, header_type)

    def _ask(self, outgoing: Outgoing) -> _Answer:
        for _ in range(1 + self._retries):
            started_s = time.perf_counter()
            self._socket.send_multipart(outgoing.frames)
            incoming = self._receive(outgoing.id, started_s + self._timeout_s)
            if incoming is not None:
                return _Answer(incoming, (time.perf_counter() - started_s) * 1e6)
            # Silence: whatever this connection still holds, nobody waits for it.
            self._socket.close()
            self._socket = self._connect()
        raise no_answer(self.endpoint, self._timeout_s * (1 + self._retries))

    def _receive(self, request_id: str, until_s: float) -> Incoming | None:
        while True:
            try:
                incoming = self._codec.open(self._socket.recv_multipart())
            except zmq.Again:
                return None
            if incoming.id == request_id:
                return incoming
            if time.perf_counter() >= until_s:
                return None

    def _connect(self) -> zmq.Socket[bytes]:
        socket = self._context.socket(zmq.DEALER)
        socket.rcvtimeo = socket.sndtimeo = max(1, int(self._timeout_s * 1e3))
        socket.maxmsgsize = DEFAULT_LIMITS.message_bytes
        return connect(socket, self.endpoint)
