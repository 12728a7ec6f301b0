"""What leaves: replies and refusals, each counted."""

from __future__ import annotations

import zmq

from adaspring.serve import protocol
from adaspring.serve.measurements import Measurements
from adaspring.serve.protocol import ErrorHeader
from adaspring.serve.queue import Work
from adaspring.serve.sockets import send


class Outbox:
    """Sends without waiting for anyone. The data thread uses it."""

    def __init__(self, socket: zmq.Socket[bytes], measurements: Measurements) -> None:
        """Send on a ROUTER."""
        self._socket = socket
        self._measurements = measurements

    def send(self, envelope: list[bytes], frames: list[bytes]) -> None:
        """Send a reply; one that cannot be delivered is counted and dropped."""
        if not send(self._socket, envelope + frames):
            self._measurements.undelivered += 1

    def refuse(self, envelope: list[bytes], reason: str, error: ErrorHeader) -> None:
        """Answer what is not taken, and count why."""
        self._measurements.rejected[reason] += 1
        self.send(envelope, protocol.encode_error(error))

    def turn_away(self, work: Work, reason: str, error: str, *, retry_after_ms: int | None = None) -> None:
        """Answer UNAVAILABLE to a request that had been taken, and count why."""
        self._measurements.rejected[reason] += 1
        self.fail(work, "UNAVAILABLE", error, retry_after_ms=retry_after_ms)

    def fail(self, work: Work, code: str, error: str, *, retry_after_ms: int | None = None) -> None:
        """Answer a request that will have no outputs."""
        sequence = None if work.window is None else work.window.sequence
        header = ErrorHeader(work.request.id, code, error, retry_after_ms, sequence)
        self.send(work.envelope, protocol.encode_error(header))
