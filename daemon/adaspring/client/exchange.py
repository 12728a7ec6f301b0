"""Requests under way over one blocking connection, which is made anew when it falls silent."""

from __future__ import annotations

import time
from collections import deque
from typing import NamedTuple

import zmq

from adaspring.client.core import Codec, Incoming, Outgoing
from adaspring.client.curve import CurveKeys
from adaspring.client.departures import Monitored
from adaspring.client.endpoints import connect, no_answer
from adaspring.client.windows import is_pushed
from adaspring.errors import ProtocolError
from adaspring.serve.protocol import DEFAULT_LIMITS

#: How often somebody who waits for an answer looks whether the daemon is still there, in seconds.
LOOK_S = 0.05


class Answer(NamedTuple):
    """A reply.

    Attributes:
        incoming: The reply.
        round_trip_us: From sending to its arrival, in microseconds.
    """

    incoming: Incoming
    round_trip_us: float


class Exchange:
    """Sends requests and waits for their answers, in any order.

    Attributes:
        pushed: What came for streams, by id; an id is here while its stream is open.
    """

    def __init__(self, endpoint: str, codec: Codec, *, timeout_s: float, retries: int, curve: CurveKeys | None) -> None:
        """Connect; see `Client`."""
        self.endpoint = endpoint
        self.pushed: dict[str, deque[Incoming]] = {}
        self._timeout_s = timeout_s
        self._retries = retries
        self._curve = curve
        self._codec = codec
        self._under_way: dict[str, tuple[Outgoing, float]] = {}
        self._answers: dict[str, Answer] = {}
        self._looked_s = 0.0
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        try:
            self._socket = self._connect()
        except BaseException:
            self._context.term()
            raise

    def close(self) -> None:
        """Close the connection."""
        self._monitor.close()
        self._context.term()

    def send(self, outgoing: Outgoing) -> None:
        """Send a request, whose answer `wait` gives.

        Raises:
            ProtocolError: If one of its id is under way.
        """
        if outgoing.id in self._under_way or outgoing.id in self._answers:
            raise ProtocolError(f"request {outgoing.id!r} is under way already; choose another id")
        now_s = time.perf_counter()
        if not self._under_way and now_s - self._looked_s > LOOK_S:
            # Who went away while nothing was under way took nothing along.
            self._gone()
        self._under_way[outgoing.id] = (outgoing, now_s)
        self._socket.send_multipart(outgoing.frames)

    def forget(self, request_id: str) -> None:
        """Pass the answer to a request over, whenever it comes."""
        self._under_way.pop(request_id, None)
        self._answers.pop(request_id, None)

    def tell(self, frames: list[bytes]) -> None:
        """Send what has no answer."""
        self._socket.send_multipart(frames)

    def wait(self, request_id: str) -> Answer:
        """The answer to a request; what does not come is asked for again over a new connection.

        Where the daemon goes away that is at once: whoever comes back in its place gets the request.

        Raises:
            ConnectError: If nobody is there.
            TimedOutError: If no answer came in time.
            ProtocolError: If what came is none.
        """
        began_s = time.perf_counter()
        try:
            for _ in range(1 + self._retries):
                until_s = time.perf_counter() + self._timeout_s
                while request_id not in self._answers and self._receive(until_s):
                    pass
                if request_id in self._answers:
                    return self._answers.pop(request_id)
                self._reconnect()
        finally:
            # Also when the caller was interrupted: nobody waits for it any more.
            self._under_way.pop(request_id, None)
        # Less than was agreed on where the daemon went away.
        raise no_answer(self.endpoint, min(time.perf_counter() - began_s, self._timeout_s * (1 + self._retries)))

    def look(self, wait_s: float) -> bool:
        """Take in one message, if one comes in time; what was under way when the daemon went away is asked again."""
        if self._socket.poll(round(wait_s * 1e3)):
            return self._receive(time.perf_counter() + self._timeout_s)
        if self._gone() and self._under_way:
            self._reconnect()
        return False

    def _receive(self, until_s: float) -> bool:
        """Take in one message, if one comes soon; False once time is up or the daemon is gone."""
        try:
            incoming = self._codec.open(self._socket.recv_multipart())
        except zmq.Again:
            return not self._gone() and time.perf_counter() < until_s
        if is_pushed(incoming.message):
            if incoming.id in self.pushed:
                self.pushed[incoming.id].append(incoming)
        elif incoming.id in self._under_way:
            _, sent_s = self._under_way.pop(incoming.id)
            self._answers[incoming.id] = Answer(incoming, (time.perf_counter() - sent_s) * 1e6)
        return time.perf_counter() < until_s

    def _gone(self) -> bool:
        self._looked_s = time.perf_counter()
        return self._monitor.gone()

    def _reconnect(self) -> None:
        """Ask everything again: whatever the old connection still holds, nobody waits for it."""
        self._monitor.close()
        self._socket = self._connect()
        for request_id, (outgoing, _) in self._under_way.items():
            self._under_way[request_id] = (outgoing, time.perf_counter())
            self._socket.send_multipart(outgoing.frames)

    def _connect(self) -> zmq.Socket[bytes]:
        socket = self._context.socket(zmq.DEALER)
        socket.sndtimeo = max(1, int(self._timeout_s * 1e3))
        socket.rcvtimeo = min(socket.sndtimeo, int(LOOK_S * 1e3))
        socket.maxmsgsize = DEFAULT_LIMITS.message_bytes
        self._monitor = Monitored(socket)
        try:
            return connect(socket, self.endpoint, self._curve)
        except BaseException:
            self._monitor.close()
            raise
