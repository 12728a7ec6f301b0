"""One connection of HTTP: its requests one after the other, and how long each step may take."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import NamedTuple

import zmq
import zmq.asyncio

import adaspring
from adaspring.errors import ProtocolError
from adaspring.serve.http.routes import Routes, told
from adaspring.serve.http.wire import Head, HttpError, Response, body_bytes, encode_response, parse_head
from adaspring.serve.measurements import Refusals

#: How long the head of a request may take from the answer before it on, in seconds, and then its body.
HEAD_S = 30.0
BODY_S = 10.0
#: How long an answer may take to leave, in seconds.
LEAVE_S = 10.0
#: Who was refused with something still unread has so long, in seconds, and may send so much, to see why.
LINGER_S = 1.0
LINGER_BYTES = 1 << 20
HEAD_BYTES = 16 << 10

_SERVER = f"adaspring/{adaspring.__version__}"


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

    async def answer_all(self, backend: zmq.asyncio.Socket) -> None:
        """Answer requests until one of both sides ends it.

        Args:
            backend: A DEALER that is connected to the data plane, and nobody else's.

        Raises:
            OSError: If the connection breaks.
            EOFError: If it ends, or takes too long.
        """
        try:
            while await self._answer_next(backend):
                pass
        except HttpError as error:
            await self.refuse(error.response)

    async def refuse(self, response: Response) -> None:
        """Answer once, and see to it that this arrives: to close with something unread would take it back."""
        self._face.refusals.rejected["http"] += 1
        await self._send(response, keep_alive=False)
        with self._within(LINGER_S):
            self._writer.write_eof()
            left = LINGER_BYTES
            while left > 0 and (more := await self._reader.read(HEAD_BYTES)):
                left -= len(more)

    def close(self) -> None:
        """Close; what is on its way may still leave."""
        self._writer.close()
        asyncio.get_running_loop().call_later(LEAVE_S, self._writer.transport.abort)

    async def _answer_next(self, backend: zmq.asyncio.Socket) -> bool:
        """Answer a request; whether another may follow.

        Raises:
            HttpError: If what comes behind it could not be told from it.
        """
        head = await self._head()
        length = body_bytes(head, self._face.most_bytes)
        if head.fields.get("expect", "").lower() == "100-continue":
            self._writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        with self._within(BODY_S):
            body = await self._reader.readexactly(length)

        async def ask(frames: list[bytes]) -> list[bytes]:
            await backend.send_multipart(frames)
            return await backend.recv_multipart()

        keep_alive = head.keep_alive
        try:
            response = await self._face.routes.answer(head, body, ask)
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
        return keep_alive

    async def _head(self) -> Head:
        with self._within(HEAD_S):
            try:
                return parse_head(await self._reader.readuntil(b"\r\n\r\n"))
            except asyncio.LimitOverrunError:
                raise HttpError(
                    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"the head may have {HEAD_BYTES} bytes at most"
                ) from None

    async def _send(self, response: Response, *, keep_alive: bool) -> None:
        # In one piece: a second one would wait until the client has acknowledged the first, which it does 40 ms later.
        self._writer.write(encode_response(response, _SERVER, keep_alive=keep_alive))
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
