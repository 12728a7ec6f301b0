"""One connection of HTTP: its requests one after the other, and how long each step may take."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import NamedTuple

import h11
import zmq
import zmq.asyncio

import adaspring
from adaspring.errors import ProtocolError
from adaspring.serve.http.messages import HttpError, Response, check_body
from adaspring.serve.http.routes import Routes, told
from adaspring.serve.measurements import Refusals

#: How long the head of a request may take from the answer before it on, in seconds, and then its body.
HEAD_S = 30.0
BODY_S = 10.0
#: How long an answer may take to leave, in seconds.
LEAVE_S = 10.0
#: Who was refused with something still unread has so long, in seconds, and may send so much, to see why.
LINGER_S = 1.0
LINGER_BYTES = 1 << 20
#: The most bytes of a head, and of what is read at once. A head of no more than their difference is always read.
HEAD_BYTES = 16 << 10
READ_BYTES = 8 << 10

_SERVER = f"adaspring/{adaspring.__version__}"
_CONTINUE = h11.InformationalResponse(status_code=100, reason="Continue", headers=[])


class Face(NamedTuple):
    """What the connections of a server share.

    Attributes:
        routes: Answers their requests.
        refusals: Counts what did not get as far as the data plane.
        most_bytes: How long a body may be.
    """

    routes: Routes
    refusals: Refusals
    most_bytes: int


class Connection:
    """Reads requests and answers them. The event loop's thread uses it."""

    def __init__(self, face: Face, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take a connection that was accepted."""
        self._face = face
        self._reader = reader
        self._writer = writer
        self._peer = h11.Connection(h11.SERVER, HEAD_BYTES - READ_BYTES)
        self._wants_content = True

    async def answer_all(self, backend: zmq.asyncio.Socket) -> None:
        """Answer requests until one of both sides ends it.

        Args:
            backend: A DEALER that is connected to the data plane, and nobody else's.

        Raises:
            OSError: If the connection breaks.
            EOFError: If it ends, or takes too long.
        """
        try:
            await self._answer_next(backend)
            while self._peer.our_state is h11.DONE:
                self._peer.start_next_cycle()
                await self._answer_next(backend)
        except HttpError as error:
            await self.refuse(error.response)

    async def refuse(self, response: Response) -> None:
        """Answer once, and see to it that this arrives: to close with something unread would take it back."""
        self._face.refusals.rejected["http"] += 1
        await self._send(response, keep_alive=False)
        with self._within(LINGER_S):
            self._writer.write_eof()
            left = LINGER_BYTES
            while left > 0 and (more := await self._reader.read(READ_BYTES)):
                left -= len(more)

    def close(self) -> None:
        """Close; what is on its way may still leave."""
        self._writer.close()
        asyncio.get_running_loop().call_later(LEAVE_S, self._writer.transport.abort)

    async def _answer_next(self, backend: zmq.asyncio.Socket) -> None:
        """Answer a request.

        Raises:
            HttpError: If what comes behind it could not be told from it.
        """
        self._wants_content = True
        with self._within(HEAD_S):
            request = await self._receive()
        assert isinstance(request, h11.Request)  # noqa: S101 - what a client begins with, or h11 raises
        self._wants_content = request.method != b"HEAD"
        check_body(request, self._face.most_bytes)
        if self._peer.they_are_waiting_for_100_continue:
            self._writer.write(self._peer.send(_CONTINUE))
        body = bytearray()
        with self._within(BODY_S):
            while isinstance(event := await self._receive(), h11.Data):
                body += event.data

        async def ask(frames: list[bytes]) -> list[bytes]:
            await backend.send_multipart(frames)
            return await backend.recv_multipart()

        keep_alive = True
        try:
            response = await self._face.routes.answer(request, bytes(body), ask)
        except HttpError as error:
            self._face.refusals.rejected["http"] += 1
            response = error.response
        except ProtocolError as error:
            self._face.refusals.rejected[error.reason] += 1
            response = told(error)
        except zmq.Again as error:
            # Should the answer come after all, it must not be taken for that to a next request.
            keep_alive = False
            response = told(error)
        await self._send(response, keep_alive=keep_alive)

    async def _receive(self) -> h11.Event:
        """The next part of a request."""
        try:
            while not isinstance(event := self._peer.next_event(), h11.Event):
                more = await self._reader.read(READ_BYTES)
                if not more:
                    raise EOFError
                self._peer.receive_data(more)
        except h11.RemoteProtocolError as error:
            raise HttpError(HTTPStatus(error.error_status_hint), f"this is not HTTP/1.1: {error!s:.200}") from None
        return event

    async def _send(self, response: Response, *, keep_alive: bool) -> None:
        headers = [
            ("Server", _SERVER),
            ("Content-Type", response.content_type),
            ("Content-Length", str(len(response.content))),
            *response.headers.items(),
            *([] if keep_alive else [("Connection", "close")]),
        ]
        send, status = self._peer.send, response.status
        head = send(h11.Response(status_code=status, reason=status.phrase, headers=headers))
        content = send(h11.Data(data=response.content if self._wants_content else b""))
        # In one piece: a second one would wait until the client has acknowledged the first, which it does 40 ms later.
        self._writer.write(head + content + send(h11.EndOfMessage()))
        with self._within(LEAVE_S):
            await self._writer.drain()

    @contextmanager
    def _within(self, limit_s: float) -> Iterator[None]:
        """Cut the connection of who lets the block wait too long, byte by byte or altogether."""
        timer = asyncio.get_running_loop().call_later(limit_s, self._writer.transport.abort)
        try:
            yield
        finally:
            timer.cancel()
