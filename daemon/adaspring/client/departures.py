"""Noticing that the daemon at the other end of a connection went away, without waiting for an answer in vain.

libzmq connects again by itself and says nothing: what had been sent is lost with the daemon that had it. Its monitor
tells when a connection ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import zmq
from zmq.utils.monitor import parse_monitor_message

#: A connection that never came to be (nobody is there, or the keys are wrong) is none that ends.
EVENTS = zmq.Event.HANDSHAKE_SUCCEEDED | zmq.Event.DISCONNECTED


class Departures:
    """Follows what the monitor of one socket tells."""

    def __init__(self) -> None:
        """Nobody is connected yet."""
        self._connected = False

    def told(self, frames: Sequence[bytes]) -> bool:
        """Take in what the monitor tells.

        Args:
            frames: One of its messages.

        Returns:
            Whether somebody who was there is gone.
        """
        before = self._connected
        self._connected = parse_monitor_message(list(frames))["event"] == zmq.Event.HANDSHAKE_SUCCEEDED
        return before and not self._connected


class Monitored:
    """The monitor of a blocking socket. One thread uses it."""

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        """Watch a socket that is not connected yet."""
        self._socket = socket
        self._monitor: zmq.Socket[Any] = socket.get_monitor_socket(EVENTS)
        self._departures = Departures()

    def gone(self) -> bool:
        """Whether the daemon went away since the last call, be another there by now or not."""
        gone = False
        while self._monitor.poll(0):
            gone |= self._departures.told(self._monitor.recv_multipart())
        return gone

    def close(self) -> None:
        """Close the socket too."""
        close_monitored(self._socket, self._monitor)


def close_monitored(socket: zmq.Socket[Any], monitor: zmq.Socket[Any]) -> None:
    """Close a socket, unless it is closed already, and its monitor; again does nothing."""
    if not socket.closed:
        # libzmq waits for room to tell the next event, and lets nobody end that meanwhile: so first there must be room.
        told: zmq.Socket[bytes] = zmq.Socket.shadow(monitor)
        while told.poll(0):
            told.recv_multipart()
        # Before its monitor: else it would wait for room to tell what nobody takes in any more.
        socket.disable_monitor()
    monitor.close(linger=0)
    socket.close()
