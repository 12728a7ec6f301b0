"""Events of a daemon, one after the other."""

from __future__ import annotations

from collections.abc import Iterator

import zmq

from adaspring.client.closing import Closing
from adaspring.client.endpoints import connect, default_endpoint
from adaspring.serve.protocol import TOPICS, Event, Topic, decode_event


class EventSubscriber(Closing):
    """Listens to a daemon; iterating over it yields its events. One thread uses it.

    It outlives restarts of the daemon, whose sequence numbers then start again.
    """

    def __init__(
        self, endpoint: str | None = None, *, topics: tuple[Topic, ...] = TOPICS, timeout_s: float | None = None
    ) -> None:
        """Subscribe.

        Args:
            endpoint: None for the event socket at its default place.
            topics: What to listen to.
            timeout_s: Iteration ends when nothing comes for so long, in seconds; None for never.

        Raises:
            ConnectError: If the endpoint is none.
        """
        self.endpoint = endpoint or default_endpoint("events.sock")
        self._timeout_s = timeout_s
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        try:
            self._socket = connect(self._context.socket(zmq.SUB), self.endpoint)
        except BaseException:
            self._context.term()
            raise
        for topic in topics:
            self._socket.subscribe(topic)

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()
        self._context.term()

    def __iter__(self) -> Iterator[Event]:
        """Events as they come."""
        while True:
            event = self.receive(self._timeout_s)
            if event is None:
                return
            yield event

    def receive(self, timeout_s: float | None = None) -> Event | None:
        """The next event.

        Args:
            timeout_s: In seconds; None to wait for ever.

        Returns:
            None if none came in time.

        Raises:
            ProtocolError: If what came is no event.
        """
        if not self._socket.poll(None if timeout_s is None else round(timeout_s * 1e3)):
            return None
        return decode_event(self._socket.recv_multipart())
