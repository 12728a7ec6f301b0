"""Streams of samples, blocking and asyncio."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress

import numpy.typing as npt

from adaspring.client.closing import Closing
from adaspring.client.core import Codec, Incoming, Outgoing
from adaspring.client.exchange import Exchange
from adaspring.client.windows import StreamCodec, StreamWish, Window
from adaspring.errors import ConnectError, NotFoundError, TimedOutError
from adaspring.serve.protocol import MetaHeader


class SampleStream(Closing):
    """A stream of samples; `Client.stream` opens it. One thread uses it, the one of its client."""

    def __init__(self, exchange: Exchange, codec: Codec, metadata: MetaHeader, wish: StreamWish) -> None:
        """Open."""
        self._exchange = exchange
        self._codec = codec
        self._stream = StreamCodec(codec, metadata, wish)
        self._pushed: deque[Incoming] = deque()
        self._open()

    @property
    def reopened(self) -> int:
        """How often the daemon had forgotten the stream, as after its restart; windows then count from 1 again."""
        return self._stream.reopened

    def push(self, samples: npt.ArrayLike, *, first_sample: int | None = None) -> None:
        """Send samples of any number.

        Args:
            samples: In the datatype that META's ``preprocessing`` names, the first axis time.
            first_sample: Index of the first of them, where samples before it were lost; None
                if they follow those before.
        """
        self._exchange.tell(self._stream.push(samples, first_sample))

    def next(self, timeout_s: float = 0.0) -> Window | None:
        """The next window, or None if none came in that many seconds.

        Raises:
            ReplyError: If samples were refused.
        """
        until_s = time.monotonic() + timeout_s
        while True:
            if self._pushed:
                window = self._stream.window(self._pushed.popleft())
                if window is not None:
                    return window
                self._open()
            left_s = until_s - time.monotonic()
            if not self._exchange.look(max(0.0, left_s)) and left_s <= 0:
                return None

    def close(self) -> None:
        """Close; windows that were not taken yet are dropped. Again does nothing."""
        if self._exchange.pushed.pop(self._stream.id, None) is not None:
            with suppress(NotFoundError, ConnectError, TimedOutError):
                self._ask(self._stream.close())

    def _open(self) -> None:
        """Open, or open anew."""
        self._exchange.pushed.pop(self._stream.id, None)
        outgoing = self._stream.open()
        self._pushed = self._exchange.pushed[outgoing.id] = deque()
        try:
            self._ask(outgoing)
        except BaseException:
            del self._exchange.pushed[outgoing.id]
            raise

    def _ask(self, outgoing: Outgoing) -> None:
        self._exchange.send(outgoing)
        self._codec.check(self._exchange.wait(outgoing.id).incoming)


class AsyncSampleStream:
    """A stream of samples; `AsyncClient.stream` opens it. Iterating gives its windows as they come."""

    def __init__(
        self,
        codec: StreamCodec,
        pushed: dict[str, asyncio.Queue[Incoming]],
        *,
        ask: Callable[[Outgoing], Awaitable[Incoming]],
        tell: Callable[[list[bytes]], Awaitable[None]],
    ) -> None:
        """Speak of a stream that `open` opens.

        Args:
            codec: Of the stream.
            pushed: What the daemon pushed, by the id of the stream.
            ask: Sends a request and waits for its answer, which is a good one.
            tell: Sends what has no answer.
        """
        self._codec = codec
        self._pushed = pushed
        self._ask = ask
        self._tell = tell

    @property
    def reopened(self) -> int:
        """How often the daemon had forgotten the stream; see `SampleStream.reopened`."""
        return self._codec.reopened

    async def open(self) -> None:
        """Open, or open anew."""
        self.forget()
        outgoing = self._codec.open()
        self._pushed[outgoing.id] = asyncio.Queue()
        await self._ask(outgoing)

    def forget(self) -> None:
        """Pass over what is still pushed."""
        self._pushed.pop(self._codec.id, None)

    async def push(self, samples: npt.ArrayLike, *, first_sample: int | None = None) -> None:
        """Send samples of any number; see `SampleStream.push`."""
        await self._tell(self._codec.push(samples, first_sample))

    def __aiter__(self) -> AsyncSampleStream:
        """Windows, as they come."""
        return self

    async def __anext__(self) -> Window:
        """The next window.

        Raises:
            ReplyError: If samples were refused.
        """
        while True:
            window = self._codec.window(await self._pushed[self._codec.id].get())
            if window is not None:
                return window
            await self.open()
