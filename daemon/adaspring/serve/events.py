"""The PUB socket on which the daemon tells what happens."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import zmq

from adaspring.serve.endpoint import Claim
from adaspring.serve.protocol import TOPICS, Event, Topic, encode_event

#: Events that a slow subscriber may fall behind before it misses some.
SEND_MARK = 256


def _utc_now() -> datetime:
    return datetime.now(timezone.utc)


class EventPublisher:
    """Publishes events; never waits for a subscriber. One thread uses it.

    Attributes:
        newest: The newest event of each topic that had one; with it a late subscriber is up to
            date, and its sequence number tells which events to come are newer.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        claim: Claim,
        *,
        wall_clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        """Open the socket.

        Args:
            context: Makes the socket.
            claim: Where to publish.
            wall_clock: UTC.

        Raises:
            ConfigError: If the endpoint cannot be bound.
        """
        self._wall_clock = wall_clock
        self._sequences: dict[Topic, int] = dict.fromkeys(TOPICS, 0)
        self.newest: dict[Topic, Event] = {}
        self._socket = context.socket(zmq.PUB)
        self._socket.sndhwm = SEND_MARK
        self._socket.linger = 0
        try:
            claim.bind(self._socket)
        except BaseException:
            self.close()
            raise

    def publish(self, topic: Topic, data: Any) -> int:
        """Tell every subscriber who keeps up.

        Args:
            topic: What it is about.
            data: A mapping, or a struct that msgspec turns into one.

        Returns:
            The sequence number of the event within its topic.
        """
        self._sequences[topic] += 1
        sequence = self._sequences[topic]
        at = self._wall_clock()
        self.newest[topic] = Event(topic, sequence, at, data)
        self._socket.send_multipart(encode_event(topic, sequence, at, data), zmq.NOBLOCK)
        return sequence

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
