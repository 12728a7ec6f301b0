"""Streams of samples, cut into windows of network input."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import ceil

import numpy as np

from adaspring.engine.base import Batch
from adaspring.errors import FeatureError, ProtocolError
from adaspring.features import Pipeline
from adaspring.serve.protocol import InferRequest, ModelSignature, OpenedHeader, OpenHeader, Piece
from adaspring.serve.queue import Window

#: Streams open at once, and how many of them one client may have.
MOST_STREAMS = 64
MOST_OF_A_CLIENT = 16
#: A stream to which nothing was pushed for so long is forgotten: its client is gone.
IDLE_S = 60.0


class Stream:
    """One sensor: the state of its filters, and the columns that its next window needs.

    After a gap it starts anew with the first sample behind it: no window spans what was
    lost, and no filter remembers what was before.
    """

    def __init__(self, model: ModelSignature, pipeline: Pipeline, header: OpenHeader, step: int, now_s: float) -> None:
        """Start with no sample.

        Args:
            model: The model that its windows are for.
            pipeline: Makes columns of samples.
            header: How to cut them.
            step: Samples from one column to the next.
            now_s: On the clock of `Streams`.
        """
        self.id = header.id
        self.model = model
        self.used_s = now_s
        self.windows = 0
        self._parameters = header.parameters
        self._pipeline = pipeline
        self._step = step
        self._expected: int | None = None
        self._gap = 0
        self._start(0)

    def push(self, piece: Piece, most: int) -> list[tuple[InferRequest, Window]]:
        """Take samples.

        Args:
            piece: The samples.
            most: Windows that it may complete.

        Returns:
            The windows that it completes.

        Raises:
            ProtocolError: If the samples were pushed before, are none, or complete too many windows;
                they are not taken then.
        """
        expected = self._expected or 0
        first = expected if piece.first_sample is None else piece.first_sample
        if first < expected:
            raise _refused(f"first_sample is {first}, but all samples before {expected} were pushed already")
        completed = ceil(len(piece.samples) / self._parameters.hop)
        if completed > most:
            raise _refused(
                f"{len(piece.samples)} samples complete up to {completed} windows; push fewer, for at most {most}"
            )
        if first > expected:
            # The first piece may begin anywhere: nothing is missing before it.
            self._gap += 0 if self._expected is None else first - expected
            self._start(first)
        self._expected = first
        try:
            columns = self._features.push(piece.samples)
        except FeatureError as error:
            raise ProtocolError(str(error), reason="samples") from error
        self._expected = first + len(piece.samples)
        return list(self._cut(columns))

    def _start(self, first_sample: int) -> None:
        self._features = self._pipeline.stream()
        self._kept: Batch = np.empty((*self._pipeline.shape[:-1], 0), dtype=np.float32)
        # Of the column that is kept first, and of the next window; the latter is ahead where hops are long.
        self._kept_sample = self._next_sample = first_sample

    def _cut(self, columns: Batch) -> Iterator[tuple[InferRequest, Window]]:
        parameters, width = self._parameters, self._pipeline.shape[-1]
        self._kept = np.concatenate([self._kept, columns], axis=-1)
        while (start := (self._next_sample - self._kept_sample) // self._step) + width <= self._kept.shape[-1]:
            self.windows += 1
            batch = np.ascontiguousarray(self._kept[None, ..., start : start + width])
            request = InferRequest(self.id, batch, parameters.timeout, parameters.priority, model=self.model.name)
            yield request, Window(self.windows, self._next_sample, self._gap)
            self._next_sample += parameters.hop
            self._gap = 0
        passed = min(start, self._kept.shape[-1])
        self._kept = self._kept[..., passed:]
        self._kept_sample += passed * self._step


class Streams:
    """All streams that are open, by client and id. The data thread uses it."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Open none yet.

        Args:
            clock: Monotonic, in seconds.
        """
        self._clock = clock
        self._streams: dict[tuple[bytes, str], Stream] = {}

    def __len__(self) -> int:
        """Streams that are open."""
        return len(self._streams)

    def of(self, model: str) -> int:
        """Streams of a model that are open."""
        return sum(stream.model.name == model for stream in self._streams.values())

    def model_of(self, client: bytes, stream_id: str) -> ModelSignature:
        """The model of a stream.

        Raises:
            ProtocolError: If no such stream is open.
        """
        return self._stream(client, stream_id).model

    def open(self, client: bytes, header: OpenHeader, model: ModelSignature, pipeline: Pipeline | None) -> OpenedHeader:
        """Open a stream.

        Args:
            client: Whose it is.
            header: How to cut it.
            model: The model that its windows are for.
            pipeline: Makes columns of samples; None where the model takes no raw samples.

        Raises:
            ProtocolError: If one of this id is open, or too many are.
        """
        raw = model.raw
        if pipeline is None or raw is None or raw.hop is None:
            raise _refused("the model takes no stream", code="UNSUPPORTED")
        if (client, header.id) in self._streams:
            raise _refused(f"stream {header.id!r} is open already; close it first, or choose another id")
        own = sum(1 for name, _ in self._streams if name == client)
        if len(self._streams) >= MOST_STREAMS or own >= MOST_OF_A_CLIENT:
            raise _refused(
                f"a client may have {MOST_OF_A_CLIENT} streams and all together {MOST_STREAMS}; close one",
                code="UNAVAILABLE",
            )
        self._streams[client, header.id] = Stream(model, pipeline, header, raw.hop, self._clock())
        return OpenedHeader(header.id, raw.shape[0], header.parameters.hop, raw)

    def push(self, client: bytes, piece: Piece, most: int) -> list[tuple[InferRequest, Window]]:
        """The windows that samples complete; see `Stream.push`.

        Raises:
            ProtocolError: If no such stream is open, or its samples are refused.
        """
        stream = self._stream(client, piece.id)
        stream.used_s = self._clock()
        return stream.push(piece, most)

    def close(self, client: bytes, stream_id: str) -> int:
        """Forget a stream, and tell how many windows it had.

        Raises:
            ProtocolError: If no such stream is open.
        """
        windows = self._stream(client, stream_id).windows
        del self._streams[client, stream_id]
        return windows

    def forget_idle(self) -> None:
        """Forget the streams to which nothing was pushed for `IDLE_S`."""
        oldest_s = self._clock() - IDLE_S
        for name in [name for name, stream in self._streams.items() if stream.used_s < oldest_s]:
            del self._streams[name]

    def _stream(self, client: bytes, stream_id: str) -> Stream:
        stream = self._streams.get((client, stream_id))
        if stream is None:
            raise _refused(f"no stream {stream_id!r} of this connection is open; open it (again)", code="NOT_FOUND")
        return stream


def _refused(message: str, *, code: str = "INVALID_ARG") -> ProtocolError:
    return ProtocolError(message, code=code, reason="stream")
