"""The asyncio client."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from types import TracebackType
from typing import NamedTuple, TypeVar

import msgspec
import numpy.typing as npt
import zmq
import zmq.asyncio

from adaspring.client.aio_connection import Arrival, AsyncConnection, GoneError
from adaspring.client.core import Codec, Incoming, Outgoing, Result, result
from adaspring.client.curve import CurveKeys
from adaspring.client.endpoints import connect, default_endpoint, no_answer
from adaspring.client.sample_stream import AsyncSampleStream
from adaspring.client.windows import StreamCodec, StreamWish
from adaspring.errors import ConnectError, NotFoundError, ProtocolError, TimedOutError
from adaspring.serve import protocol
from adaspring.serve.protocol import DEFAULT_LIMITS, MetaHeader, Statistics

H = TypeVar("H", bound=msgspec.Struct)


class _Answer(NamedTuple):
    incoming: Incoming
    round_trip_us: float


class AsyncClient:
    """Asks the daemon from asyncio; any number of requests may be under way.

    Cancelling a task that waits in `infer` cancels its request in the daemon too. One
    event loop uses a client.
    """

    def __init__(
        self,
        endpoint: str | None = None,
        *,
        model: str | None = None,
        timeout_s: float = 1.0,
        retries: int = 2,
        curve: CurveKeys | None = None,
    ) -> None:
        """Prepare; the first request connects. See `Client`."""
        self.endpoint = endpoint or default_endpoint()
        self._timeout_s = timeout_s
        self._retries = retries
        self._curve = curve
        self._codec = Codec(model)
        self._context = zmq.asyncio.Context()
        self._connection: AsyncConnection | None = None
        self._waiting: dict[str, asyncio.Future[Arrival]] = {}
        self._pushed: dict[str, asyncio.Queue[Incoming]] = {}

    async def __aenter__(self) -> AsyncClient:  # noqa: PYI034 - typing.Self came with Python 3.11
        """Do nothing: the first request connects."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """Close the connection; requests under way are cancelled."""
        for future in self._waiting.values():
            future.cancel()
        self._disconnect()
        self._context.term()

    async def infer(
        self,
        x: npt.ArrayLike,
        *,
        timeout_us: int | None = None,
        priority: int | None = None,
        request_id: str | None = None,
        raw: bool = False,
    ) -> Result:
        """Outputs of the active subnet; see `Client.infer`.

        Args:
            x: One sample or a batch, in the units that META names.
            timeout_us: After which the daemon need not compute it any more, in
                microseconds; None for the time that this client waits.
            priority: 1, the highest, to 9.
            request_id: A name of the caller's choice, for `cancel`.
            raw: Whether `x` is what the sensor gives; see `Client.infer`.
        """
        metadata = self._codec.metadata or await self.meta()
        outgoing = self._codec.infer(
            x,
            metadata,
            timeout_us=timeout_us or int(self._timeout_s * 1e6),
            priority=priority,
            request_id=request_id,
            raw=raw,
        )
        try:
            answer = await self._ask(outgoing)
        except asyncio.CancelledError:
            self._send_cancel(outgoing.id)
            raise
        reply = self._codec.reply(answer.incoming)
        return result(reply, self._codec.metadata or await self.meta(), answer.round_trip_us)

    async def infer_many(
        self,
        samples: Iterable[npt.ArrayLike],
        *,
        in_flight: int = 8,
        timeout_us: int | None = None,
        priority: int | None = None,
        raw: bool = False,
    ) -> list[Result]:
        """Results of many samples in their order; see `Client.infer_many`."""
        places = asyncio.Semaphore(in_flight)

        async def ask(sample: npt.ArrayLike) -> Result:
            async with places:
                return await self.infer(sample, timeout_us=timeout_us, priority=priority, raw=raw)

        asking = [asyncio.ensure_future(ask(sample)) for sample in samples]
        try:
            return await asyncio.gather(*asking)
        finally:
            for task in asking:
                task.cancel()

    @asynccontextmanager
    async def stream(
        self, *, hop: int, timeout_us: int | None = None, priority: int | None = None
    ) -> AsyncIterator[AsyncSampleStream]:
        """Open a stream of raw samples for the block; see `Client.stream`."""
        metadata = self._codec.metadata or await self.meta()
        codec = StreamCodec(self._codec, metadata, StreamWish(hop, timeout_us, priority))
        stream = AsyncSampleStream(codec, self._pushed, ask=self._checked, tell=self._tell)
        try:
            await stream.open()
            yield stream
        finally:
            stream.forget()
            with suppress(NotFoundError, ConnectError, TimedOutError):
                await self._checked(codec.close())

    async def cancel(self, request_id: str) -> bool:
        """Cancel a request; the task that waits for it gets a `CancelledError` of ours.

        Returns:
            Whether it still waited in the daemon.
        """
        answer = await self._ask(self._codec.query(protocol.CANCEL, cancel_id=request_id))
        return self._codec.answer(answer.incoming, protocol.CancelHeader).cancelled

    async def meta(self) -> MetaHeader:
        """Model, tensors and active subnet; see `Client.meta`."""
        return self._codec.meta((await self._ask(self._codec.query(protocol.META))).incoming)

    async def live(self) -> bool:
        """Whether the daemon answers."""
        try:
            return (await self._query(protocol.LIVE, protocol.LiveHeader)).live
        except (ConnectError, TimedOutError):
            return False

    async def ready(self) -> bool:
        """Whether the daemon answers and serves; see `Client.ready`."""
        try:
            return (await self._query(protocol.READY, protocol.ReadyHeader)).ready
        except (ConnectError, TimedOutError):
            return False

    async def stats(self) -> Statistics:
        """Counters of the data plane; see `Client.stats`."""
        return (await self._query(protocol.STATS, protocol.StatsHeader)).statistics

    async def _query(self, kind: bytes, header_type: type[H]) -> H:
        answer = await self._ask(self._codec.query(kind))
        return self._codec.answer(answer.incoming, header_type)

    async def _ask(self, outgoing: Outgoing) -> _Answer:
        if outgoing.id in self._waiting:
            raise ProtocolError(f"request {outgoing.id!r} is under way already; choose another id")
        began_s = time.perf_counter()
        for _ in range(1 + self._retries):
            connection = self._connect()
            started_s = time.perf_counter()
            future: asyncio.Future[Arrival] = asyncio.get_running_loop().create_future()
            self._waiting[outgoing.id] = future
            try:
                await connection.socket.send_multipart(outgoing.frames)
                arrival = await asyncio.wait_for(future, self._timeout_s)
            except GoneError:
                # Who comes back is asked at once; the first who sees it makes the connection to ask over.
                if connection is self._connection:
                    self._disconnect()
            except asyncio.TimeoutError:
                # Others may be waiting: only a connection that has been silent all along is given up.
                if connection is self._connection and connection.heard_s < started_s:
                    self._disconnect()
            else:
                return _Answer(arrival.incoming, (arrival.at_s - started_s) * 1e6)
            finally:
                del self._waiting[outgoing.id]
        # Less than was agreed on where the daemon went away.
        raise no_answer(self.endpoint, min(time.perf_counter() - began_s, self._timeout_s * (1 + self._retries)))

    async def _tell(self, frames: list[bytes]) -> None:
        """Send what has no answer."""
        await self._connect().socket.send_multipart(frames)

    async def _checked(self, outgoing: Outgoing) -> Incoming:
        incoming = (await self._ask(outgoing)).incoming
        self._codec.check(incoming)
        return incoming

    def _send_cancel(self, request_id: str) -> None:
        """Tell the daemon that nobody waits any more; its answer is not awaited."""
        if self._connection is not None:
            frames = self._codec.query(protocol.CANCEL, cancel_id=request_id).frames
            self._connection.socket.send_multipart(frames)

    def _connect(self) -> AsyncConnection:
        if self._connection is None:
            socket = self._context.socket(zmq.DEALER)
            socket.maxmsgsize = DEFAULT_LIMITS.message_bytes
            self._connection = AsyncConnection(socket, self._codec, self._waiting, self._pushed)
            try:
                connect(socket, self.endpoint, self._curve)
            except BaseException:
                self._disconnect()
                raise
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
