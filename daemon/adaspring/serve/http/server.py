"""An HTTP server on a loopback address that hands requests to the data plane.

One thread with an event loop serves all connections. Between it and the data thread lies a socket for each
connection, no lock: so connections are clients like any other, which take turns in the queue.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from http import HTTPStatus

import zmq
import zmq.asyncio

from adaspring.errors import ConfigError
from adaspring.serve.http.connection import READ_BYTES, Connection, Face
from adaspring.serve.http.messages import error
from adaspring.serve.http.routes import Routes
from adaspring.serve.measurements import Refusals
from adaspring.serve.protocol import Limits, ModelSignature

#: Connections that are served at once. As many more are told to come again; those beyond are closed.
MOST_CONNECTIONS = 64
#: How long the data plane may take, in milliseconds; a deadline of the request ends it sooner.
ANSWER_MS = 30_000


class HttpServer:
    """Serves until `close`; `start` it once the data plane is bound.

    Attributes:
        address: Where it listens, also where the port was left to the system by 0.
        refusals: What did not get as far as the data plane, by reason; the server's own thread alone writes.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        address: str,
        backend: str,
        models: Sequence[ModelSignature],
        limits: Limits,
    ) -> None:
        """Listen.

        Args:
            context: Of the data plane.
            address: Loopback address and port, for example ``"127.0.0.1:8000"``.
            backend: The inproc endpoint of the data plane.
            models: What the data plane serves.
            limits: What a message may be.

        Raises:
            ConfigError: If the address is none, or not of this machine alone.
        """
        host, port = _parse_address(address)
        self.refusals = Refusals()
        self._face = Face(Routes(models, limits), self.refusals, limits.message_bytes)
        self._context = zmq.asyncio.Context.shadow(context)
        self._backend = backend
        self._connections: set[asyncio.Task[None]] = set()
        try:
            self._listener = socket.create_server((host, port), backlog=MOST_CONNECTIONS)
        except OSError as raised:
            raise ConfigError(f"cannot serve HTTP on {address}: {raised.strerror}; is the port taken?") from raised
        self.address = f"{host}:{self._listener.getsockname()[1]}"
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="http")

    @property
    def connections(self) -> int:
        """Connections that stand."""
        return len(self._connections)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Take no more connections, and end those that stand."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._over.set)
            self._thread.join()
        self._loop.close()
        self._listener.close()

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._connected, sock=self._listener, limit=READ_BYTES)
        await self._over.wait()
        server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection, task = Connection(self._face, reader, writer), asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine runs in a task
        self._connections.add(task)
        try:
            # A connection that broke concerns its client alone, and asyncio would log one that is ended by `close`.
            with suppress(OSError, EOFError, asyncio.CancelledError):
                if len(self._connections) <= MOST_CONNECTIONS:
                    with self._to_the_data_plane() as backend:
                        await connection.answer_all(backend)
                elif len(self._connections) <= 2 * MOST_CONNECTIONS:
                    sentence = f"there are {MOST_CONNECTIONS} connections already; try again later"
                    await connection.refuse(error(HTTPStatus.SERVICE_UNAVAILABLE, sentence, {"Retry-After": "1"}))
        finally:
            self._connections.discard(task)
            connection.close()

    def _to_the_data_plane(self) -> zmq.asyncio.Socket:
        backend = self._context.socket(zmq.DEALER)
        backend.linger = 0
        backend.rcvtimeo = backend.sndtimeo = ANSWER_MS
        backend.connect(self._backend)
        return backend


def _parse_address(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    try:
        loopback = ipaddress.IPv4Address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback or not port.isdecimal():
        raise ConfigError(
            f"serve.http is {address!r}; expected a loopback address and a port, for example 127.0.0.1:8000:"
            " HTTP knows no access control here"
        )
    return host, int(port)
