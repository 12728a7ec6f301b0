"""What tests of the clients share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq


class Dying:
    """A daemon that takes a request and dies of it.

    Attributes:
        endpoint: Where it serves, until then.
    """

    def __init__(self, endpoint: str) -> None:
        """Begin to serve."""
        self.endpoint = endpoint
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.bind(endpoint)

    def die(self) -> None:
        """Once somebody has asked; again does nothing."""
        if not self._context.closed:
            assert self._socket.poll(5000), "nobody asked"
            self._socket.recv_multipart()
            self.close()

    def close(self) -> None:
        """Be gone at once; again does nothing."""
        self._socket.close(linger=0)
        self._context.term()


@pytest.fixture
def dying(socket_folder: Path) -> Iterator[Dying]:
    """A daemon where `serve_toy` will serve, which is gone after the test at the latest."""
    made = Dying(f"ipc://{socket_folder}/infer.sock")
    yield made
    made.close()
