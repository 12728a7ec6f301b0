"""One connection of the asyncio client, and the tasks that listen to it."""

from __future__ import annotations

import asyncio
import time
from typing import NamedTuple

import zmq.asyncio

from adaspring.client.core import Codec, Incoming
from adaspring.client.departures import EVENTS, Departures, close_monitored
from adaspring.client.windows import is_pushed
from adaspring.errors import ProtocolError


class Arrival(NamedTuple):
    """A reply, and when it came, on the clock of `time.perf_counter`."""

    incoming: Incoming
    at_s: float


class GoneError(Exception):
    """The daemon went away while a request was under way. It stays within the client."""


class AsyncConnection:
    """A socket, and the tasks that read it and its monitor.

    Attributes:
        socket: To send by.
        heard_s: When something came last, on the clock of `time.perf_counter`; 0 before.
    """

    def __init__(
        self,
        socket: zmq.asyncio.Socket,
        codec: Codec,
        waiting: dict[str, asyncio.Future[Arrival]],
        pushed: dict[str, asyncio.Queue[Incoming]],
    ) -> None:
        """Listen, in the event loop that runs.

        Args:
            socket: Not connected yet; `close` closes it.
            codec: Finds out what replies belong to.
            waiting: Who waits for a reply, by id.
            pushed: Where what is pushed goes, by the id of its stream.
        """
        self.socket = socket
        self.heard_s = 0.0
        self._monitor = socket.get_monitor_socket(EVENTS)
        self._pushed = pushed
        self._codec = codec
        self._waiting = waiting
        loop = asyncio.get_running_loop()
        self._tasks = (loop.create_task(self._read()), loop.create_task(self._watch()))

    def close(self) -> None:
        """Hear no more, and close the socket."""
        for task in self._tasks:
            task.cancel()
        close_monitored(self.socket, self._monitor)

    async def _read(self) -> None:
        while True:
            frames = await self.socket.recv_multipart()
            self.heard_s = time.perf_counter()
            try:
                incoming = self._codec.open(frames)
            except ProtocolError as error:
                # Nobody knows whose answer this was, and whoever sends such things answers nobody.
                for future in self._waiting.values():
                    if not future.done():
                        future.set_exception(error)
                continue
            waiter = self._waiting.get(incoming.id)
            if is_pushed(incoming.message):
                if incoming.id in self._pushed:
                    self._pushed[incoming.id].put_nowait(incoming)
            elif waiter is not None and not waiter.done():
                waiter.set_result(Arrival(incoming, self.heard_s))

    async def _watch(self) -> None:
        departures = Departures()
        while True:
            if departures.told(await self._monitor.recv_multipart()):
                for future in self._waiting.values():
                    if not future.done():
                        future.set_exception(GoneError())
