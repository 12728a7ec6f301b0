"""The control socket: operators' commands, answered by the thread that waits here."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import zmq

from adaspring.errors import ProtocolError
from adaspring.serve.endpoint import Claim
from adaspring.serve.protocol import (
    CONTROL_CALL_BYTES,
    ControlCall,
    decode_control_call,
    encode_control_error,
    encode_control_reply,
)
from adaspring.serve.sockets import receive, send, split_envelope

#: Calls of one client that may wait in memory; they are rare and small.
RECEIVE_MARK = 8
#: How long the last reply may still leave after the socket was closed, in milliseconds.
LINGER_MS = 200


class ControlRequest(NamedTuple):
    """A call that wants an answer.

    Attributes:
        command: What is asked.
        arguments: Its arguments by name.
        envelope: Frames that go before the reply.
    """

    command: str
    arguments: dict[str, Any]
    envelope: list[bytes]


class ControlServer:
    """Waits for calls. One thread uses it; `wake` alone may be called from elsewhere."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        claim: Claim,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Open the socket.

        Args:
            context: Makes the socket.
            claim: Where to listen.
            clock: Monotonic, in seconds.

        Raises:
            ConfigError: If the endpoint cannot be bound.
        """
        self._clock = clock
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._socket = context.socket(zmq.ROUTER)
        self._socket.router_mandatory = True
        self._socket.rcvhwm = RECEIVE_MARK
        self._socket.maxmsgsize = CONTROL_CALL_BYTES
        self._socket.linger = LINGER_MS
        try:
            claim.bind(self._socket)
        except BaseException:
            self.close()
            raise
        self._poller = zmq.Poller()
        self._poller.register(self._socket, zmq.POLLIN)
        self._poller.register(self._wake_fd, zmq.POLLIN)

    def wait(self, timeout_s: float) -> ControlRequest | None:
        """Sleep until a call comes, until `wake`, or until the time is over.

        Calls that break the protocol are answered here.

        Args:
            timeout_s: In seconds.

        Returns:
            A call, or None if there was none.
        """
        until_s = self._clock() + timeout_s
        while True:
            left_ms = max(0, round((until_s - self._clock()) * 1e3))
            ready = dict(self._poller.poll(left_ms))
            if self._wake_fd in ready:
                os.eventfd_read(self._wake_fd)
                return None
            if self._socket not in ready:
                return None
            request = self._receive()
            if request is not None:
                return request

    def wake(self) -> None:
        """End the present `wait`, or the next one. Safe in a signal handler and from any thread."""
        os.eventfd_write(self._wake_fd, 1)

    def reply(self, request: ControlRequest, result: Any) -> None:
        """Answer a call that was carried out.

        Args:
            request: The call.
            result: Anything that msgspec turns into JSON.
        """
        send(self._socket, [*request.envelope, encode_control_reply(result)])

    def refuse(self, request: ControlRequest, code: str, message: str) -> None:
        """Answer a call that was not.

        Args:
            request: The call.
            code: A code of the protocol, for example ``"INVALID_ARG"``.
            message: What is wrong and what to do.
        """
        self._refuse(request.envelope, code, message)

    def close(self) -> None:
        """Close the socket. `wake` must not be called any more."""
        self._socket.close()
        os.close(self._wake_fd)

    def _receive(self) -> ControlRequest | None:
        envelope, frames = split_envelope(receive(self._socket))
        if len(frames) != 1:
            self._refuse(envelope, "INVALID_ARG", f"the call has {len(frames)} frames; expected one JSON object")
            return None
        try:
            call: ControlCall = decode_control_call(frames[0])
        except ProtocolError as error:
            self._refuse(envelope, error.code, str(error))
            return None
        return ControlRequest(call.command, call.arguments, envelope)

    def _refuse(self, envelope: list[bytes], code: str, message: str) -> None:
        send(self._socket, [*envelope, encode_control_error(code, message)])
