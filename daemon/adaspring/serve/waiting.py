"""Waiting for the next message: asleep, or for a moment awake while they come fast."""

from __future__ import annotations

from collections.abc import Callable

import zmq

from adaspring.serve.sockets import readable, receive

#: Weight of the newest measurement in the smoothed time between two messages.
_SMOOTHING = 0.1


class Waiting:
    """Receives from an idle socket.

    To be woken takes longer than a small subnet computes. So while messages come within
    `spin_s` of each other, the thread looks for the next one that long before it sleeps;
    when they come more slowly, it sleeps at once. The data thread uses it.

    Attributes:
        spin_s: How long to stay awake at most, in seconds; 0 never does. Another thread may change it.
    """

    def __init__(self, socket: zmq.Socket[bytes], clock: Callable[[], float]) -> None:
        """Wait on a socket."""
        self.spin_s = 0.0
        self._socket = socket
        self._clock = clock
        self._between_s = 1.0

    def receive(self) -> list[bytes]:
        """The next message.

        Raises:
            zmq.Again: If none came within the socket's RCVTIMEO.
        """
        if not self.spin_s:
            return receive(self._socket)
        began_s = self._clock()
        if self._between_s < self.spin_s:
            until_s = began_s + self.spin_s
            while not readable(self._socket) and self._clock() < until_s:
                pass
        try:
            return receive(self._socket)
        finally:
            self._between_s += _SMOOTHING * (self._clock() - began_s - self._between_s)
