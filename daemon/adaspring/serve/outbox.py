"""What leaves: replies and refusals, each counted."""

from __future__ import annotations

import zmq

from adaspring.serve import protocol
from adaspring.serve.measurements import Refusals
from adaspring.serve.protocol import ErrorHeader
from adaspring.serve.queue import Work
from adaspring.serve.sockets import send


class Outbox:
    """Sends without waiting for anyone. The data thread uses it.

    What did not get through is counted where the caller says: with a model, or where none was known yet.
    """

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        """Send on a ROUTER."""
        self._socket = socket

    def send(self, envelope: list[bytes], frames: list[bytes], counts: Refusals) -> None:
        """Send a reply; one that cannot be delivered is counted and dropped."""
        if not send(self._socket, envelope + frames):
            counts.undelivered += 1

    def refuse(self, envelope: list[bytes], reason: str, error: ErrorHeader, counts: Refusals) -> None:
        """Answer what is not taken, and count why."""
        counts.rejected[reason] += 1
        self.send(envelope, protocol.encode_error(error), counts)

    def turn_away(
        self, work: Work, reason: str, error: str, counts: Refusals, *, retry_after_ms: int | None = None
    ) -> None:
        """Answer UNAVAILABLE to a request that had been taken, and count why."""
        counts.rejected[reason] += 1
        self.fail(work, "UNAVAILABLE", error, counts, retry_after_ms=retry_after_ms)

    def fail(self, work: Work, code: str, error: str, counts: Refusals, *, retry_after_ms: int | None = None) -> None:
        """Answer a request that will have no outputs."""
        sequence = None if work.window is None else work.window.sequence
        header = ErrorHeader(work.request.id, code, error, retry_after_ms, sequence)
        self.send(work.envelope, protocol.encode_error(header), counts)
