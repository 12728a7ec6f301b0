"""Calls to the control socket of a daemon."""

from __future__ import annotations

from typing import Any

import zmq

from adaspring.client.closing import Closing
from adaspring.client.core import reply_error
from adaspring.client.endpoints import connect, default_endpoint, no_answer, nobody_there
from adaspring.serve.protocol import decode_control_reply, encode_control_call


class ControlClient(Closing):
    """Gives a daemon commands. One thread uses it."""

    def __init__(self, endpoint: str | None = None, *, timeout_s: float = 5.0) -> None:
        """Prepare; each call connects by itself.

        Args:
            endpoint: None for the control socket at its default place.
            timeout_s: Wait for an answer, in seconds.
        """
        self.endpoint = endpoint or default_endpoint("control.sock")
        self._timeout_s = timeout_s
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()

    def close(self) -> None:
        """Free what the calls used."""
        self._context.term()

    def call(self, command: str, **arguments: Any) -> Any:
        """Have a command carried out.

        It is sent once: a command may not be meant twice.

        Args:
            command: For example ``"status"``.
            **arguments: Of the command.

        Returns:
            Its result.

        Raises:
            ReplyError: If the daemon refused it; its subclass says why.
            ConnectError: If nobody is there, or this user may not connect.
            TimedOutError: If no answer came in time; the command may have been carried out.
            ProtocolError: If the answer breaks the protocol.
        """
        absent = nobody_there(self.endpoint)
        if absent is not None:
            raise absent
        socket = connect(self._context.socket(zmq.REQ), self.endpoint)
        try:
            socket.rcvtimeo = socket.sndtimeo = max(1, int(self._timeout_s * 1e3))
            socket.send(encode_control_call(command, arguments))
            reply = decode_control_reply(socket.recv())
        except zmq.Again:
            raise no_answer(self.endpoint, self._timeout_s) from None
        finally:
            socket.close()
        if not reply.ok:
            raise reply_error(reply.code, reply.error)
        return reply.result
