"""A client that sends and receives bare frames."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

import pytest
import zmq

from adaspring.serve import protocol


class RawReply(NamedTuple):
    """A reply as it came.

    Attributes:
        type: OK or ERR.
        header: Decoded as plain JSON.
        tensors: Frames behind it.
    """

    type: bytes
    header: dict[str, Any]
    tensors: list[bytes]


class RawClient:
    """A DEALER, or a socket of another kind, that knows nothing of our structs."""

    def __init__(self, socket: zmq.Socket[bytes], endpoint: str) -> None:
        """Connect."""
        self.socket = socket
        self.socket.linger = 0
        self.socket.rcvtimeo = 5000
        self.socket.connect(endpoint)

    def send(self, frames: list[bytes]) -> None:
        """Send without waiting for the answer."""
        self.socket.send_multipart(frames)

    def receive(self) -> RawReply:
        """The next reply."""
        magic, kind, header, *tensors = self.socket.recv_multipart()
        assert magic == protocol.MAGIC
        return RawReply(kind, json.loads(header), tensors)

    def ask(self, frames: list[bytes]) -> RawReply:
        """Send, and receive the next reply."""
        self.send(frames)
        return self.receive()

    def statistics(self) -> dict[str, Any]:
        """The counters, which hold everything that was answered before."""
        statistics: dict[str, Any] = self.ask([b"OIPZ1", b"STATS", b"{}"]).header["statistics"]
        return statistics


@pytest.fixture
def raw_client() -> Iterator[Callable[..., RawClient]]:
    """Connects raw clients and closes them after the test."""
    with zmq.Context() as context, ExitStack() as sockets:

        def connect(endpoint: str, kind: int = zmq.DEALER, **options: int) -> RawClient:
            socket = sockets.enter_context(context.socket(kind))
            for name, value in options.items():
                setattr(socket, name, value)
            return RawClient(socket, endpoint)

        yield connect
