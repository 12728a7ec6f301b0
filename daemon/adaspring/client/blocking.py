"""The blocking client."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable
from typing import TypeVar

import msgspec
import numpy.typing as npt

from adaspring.client.closing import Closing
from adaspring.client.core import Codec, Outgoing, Result, result
from adaspring.client.curve import CurveKeys
from adaspring.client.endpoints import default_endpoint
from adaspring.client.exchange import Answer, Exchange
from adaspring.client.sample_stream import SampleStream
from adaspring.client.windows import StreamWish
from adaspring.errors import ConnectError, TimedOutError
from adaspring.serve import protocol
from adaspring.serve.protocol import MetaHeader, Statistics

H = TypeVar("H", bound=msgspec.Struct)


class Client(Closing):
    """Asks the daemon, and waits for its answer.

    A request that stays without an answer is sent again over a new connection, so a
    client outlives a restart of the daemon. One thread uses it.
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
        """Connect; whether anybody is there shows at the first request.

        Args:
            endpoint: None for `default_endpoint`.
            model: Name of the model; None for the only one that is served.
            timeout_s: How long to wait for an answer before asking again, in seconds; a daemon that goes away is not
                waited for.
            retries: Times to ask again. With 0 a request is sent once and computed at most once; one that the daemon
                took along when it ended, though only just, then fails at once with what `infer` raises.
            curve: Keys, for an endpoint on TCP.

        Raises:
            ConnectError: If the endpoint is none.
        """
        self.endpoint = endpoint or default_endpoint()
        self._timeout_s = timeout_s
        self._codec = Codec(model)
        self._exchange = Exchange(self.endpoint, self._codec, timeout_s=timeout_s, retries=retries, curve=curve)

    def close(self) -> None:
        """Close the connection."""
        self._exchange.close()

    def infer(
        self,
        x: npt.ArrayLike,
        *,
        timeout_us: int | None = None,
        priority: int | None = None,
        raw: bool = False,
    ) -> Result:
        """Outputs of the active subnet.

        Args:
            x: One sample or a batch, in the units that META names.
            timeout_us: After which the daemon need not compute it any more, in
                microseconds; None for the time that this client waits.
            priority: 1, the highest, to 9.
            raw: Whether `x` is what the sensor gives, as META's ``preprocessing`` says, and
                not the input itself.

        Raises:
            ReplyError: If the daemon refused it; its subclass says why.
            ConnectError: If nobody is there.
            TimedOutError: If no answer came in time.
            ProtocolError: If `x` cannot be sent, or the answer breaks the protocol.
        """
        return self.submit(x, timeout_us=timeout_us, priority=priority, raw=raw).result()

    def submit(
        self,
        x: npt.ArrayLike,
        *,
        timeout_us: int | None = None,
        priority: int | None = None,
        raw: bool = False,
        request_id: str | None = None,
    ) -> Pending:
        """Send a request and go on; arguments and errors are those of `infer`.

        Args:
            x: See `infer`.
            timeout_us: See `infer`.
            priority: See `infer`.
            raw: See `infer`.
            request_id: A name of the caller's choice.

        Returns:
            The request, whose result can be waited for, and which can be cancelled.
        """
        outgoing = self._codec.infer(
            x,
            self._codec.metadata or self.meta(),
            timeout_us=timeout_us or int(self._timeout_s * 1e6),
            priority=priority,
            request_id=request_id,
            raw=raw,
        )
        self._exchange.send(outgoing)
        return Pending(self, outgoing.id)

    def infer_many(
        self,
        samples: Iterable[npt.ArrayLike],
        *,
        in_flight: int = 8,
        timeout_us: int | None = None,
        priority: int | None = None,
        raw: bool = False,
    ) -> Generator[Result, None, None]:
        """Results of many samples in their order, several requests under way at once.

        Each is a request of its own, so that the daemon computes them together only where
        that was measured to pay, and others are not held up. When the caller stops, what
        is under way is cancelled.

        Args:
            samples: One sample each.
            in_flight: Requests under way at most.
            timeout_us: See `infer`.
            priority: See `infer`.
            raw: See `infer`.
        """
        under_way: deque[Pending] = deque()
        try:
            for sample in samples:
                under_way.append(self.submit(sample, timeout_us=timeout_us, priority=priority, raw=raw))
                if len(under_way) >= in_flight:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        finally:
            for pending in under_way:
                pending.abandon()

    def stream(self, *, hop: int, timeout_us: int | None = None, priority: int | None = None) -> SampleStream:
        """Open a stream of raw samples, which the daemon cuts into windows.

        Args:
            hop: Samples from one window to the next.
            timeout_us: After a window's last sample came, when its result is of no use, in microseconds.
            priority: Of its windows: 1, the highest, to 9.

        Raises:
            UnsupportedError: If the model takes no streams; and as `infer` does.
        """
        wish = StreamWish(hop, timeout_us, priority)
        return SampleStream(self._exchange, self._codec, self._codec.metadata or self.meta(), wish)

    def meta(self) -> MetaHeader:
        """Model, tensors and active subnet; raises as `infer` does."""
        return self._codec.meta(self._ask(self._codec.query(protocol.META)).incoming)

    def live(self) -> bool:
        """Whether the daemon answers."""
        try:
            return self._query(protocol.LIVE, protocol.LiveHeader).live
        except (ConnectError, TimedOutError):
            return False

    def ready(self) -> bool:
        """Whether the daemon answers and serves: it does not while it stops.

        Raises:
            NotFoundError: If it serves another model.
        """
        try:
            return self._query(protocol.READY, protocol.ReadyHeader).ready
        except (ConnectError, TimedOutError):
            return False

    def stats(self) -> Statistics:
        """Counters of the data plane: of the model that this client names, or of all; raises as `infer` does."""
        return self._query(protocol.STATS, protocol.StatsHeader).statistics

    def _query(self, kind: bytes, header_type: type[H]) -> H:
        answer = self._ask(self._codec.query(kind))
        return self._codec.answer(answer.incoming, header_type)

    def _ask(self, outgoing: Outgoing) -> Answer:
        self._exchange.send(outgoing)
        return self._exchange.wait(outgoing.id)


class Pending:
    """A request under way; `Client.submit` makes it.

    Attributes:
        id: Of the request.
    """

    def __init__(self, client: Client, request_id: str) -> None:
        """Wait for a request of a client."""
        self.id = request_id
        self._client = client

    def result(self) -> Result:
        """Wait for the answer; raises as `Client.infer` does. An interrupt cancels the request."""
        client = self._client
        try:
            answer = client._exchange.wait(self.id)  # noqa: SLF001 - two halves of one
        except KeyboardInterrupt:
            self.abandon()
            raise
        reply = client._codec.reply(answer.incoming)  # noqa: SLF001
        return result(reply, client._codec.metadata or client.meta(), answer.round_trip_us)  # noqa: SLF001

    def cancel(self) -> bool:
        """Cancel the request.

        Returns:
            Whether it still waited in the daemon; `result` then raises `CancelledError`.
        """
        client = self._client
        answer = client._ask(client._codec.query(protocol.CANCEL, cancel_id=self.id))  # noqa: SLF001
        return client._codec.answer(answer.incoming, protocol.CancelHeader).cancelled  # noqa: SLF001

    def abandon(self) -> None:
        """Cancel the request without waiting for anything; its answer is passed over."""
        client = self._client
        client._exchange.forget(self.id)  # noqa: SLF001
        client._exchange.tell(client._codec.query(protocol.CANCEL, cancel_id=self.id).frames)  # noqa: SLF001
