"""Whole messages in and out of a ROUTER, without waiting for anyone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import zmq

# Plain integers: computing with zmq's enums costs more than sending a frame.
_EVENTS = int(zmq.EVENTS)
_READABLE = int(zmq.POLLIN)
_NOW = _LAST = int(zmq.NOBLOCK)
_MORE = int(zmq.NOBLOCK | zmq.SNDMORE)
# The method below the one of `zmq.Socket`, which is Python and takes as long again.
_send_frame = zmq.backend.Socket.send


def readable(socket: zmq.Socket[bytes]) -> bool:
    """Whether a message waits; half the price of a receive that fails."""
    return bool(cast("int", socket.get(_EVENTS)) & _READABLE)


def receive(socket: zmq.Socket[bytes], *, wait: bool = True) -> list[bytes]:
    """Receive a message; `socket.recv_multipart` in two thirds of its time.

    Args:
        socket: Where from.
        wait: Whether to wait for one up to the socket's RCVTIMEO.

    Raises:
        zmq.Again: If none came.
    """
    receive_frame = socket.recv
    frame = receive_frame(0 if wait else _NOW, False)
    parts = [frame.bytes]
    while frame.more:
        frame = receive_frame(0, False)
        parts.append(frame.bytes)
    return parts


def send(socket: zmq.Socket[bytes], parts: Sequence[bytes]) -> bool:
    """Send a message without waiting: what `socket.send_multipart` does, without what it does besides.

    Returns:
        False if a ROUTER with ROUTER_MANDATORY cannot deliver it: its client is gone, or
        has not read so much that its queue is full. A ROUTER finds that out at the first
        frame, so a message is never sent in part.
    """
    try:
        for part in parts[:-1]:
            _send_frame(socket, part, _MORE, True, False)  # copied, not tracked
        _send_frame(socket, parts[-1], _LAST, True, False)
    except zmq.ZMQError as error:
        if error.errno not in (zmq.EAGAIN, zmq.EHOSTUNREACH):
            raise
        return False
    return True


def split_envelope(parts: list[bytes]) -> tuple[list[bytes], list[bytes]]:
    """What to put before the reply, and the frames of the request.

    A REQ client sends an empty delimiter behind the identity that the ROUTER adds, and
    expects it back.
    """
    cut = 2 if len(parts) > 1 and not parts[1] else 1
    return parts[:cut], parts[cut:]
