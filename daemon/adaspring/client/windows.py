"""What the streams of both clients share: messages out, windows in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy.typing as npt

from adaspring import errors
from adaspring.client.core import Codec, Incoming, Outgoing, Result, as_sent, raw_input, result
from adaspring.errors import NotFoundError, ReplyError
from adaspring.serve import protocol
from adaspring.serve.protocol import DEFAULT_LIMITS, MetaHeader


@dataclass(frozen=True, slots=True)
class Window:
    """One window of a stream, with a result or the reason why there is none.

    Attributes:
        sequence: Counts the windows since the stream was opened, from 1; a number that
            never comes was lost on the way to a client that did not read.
        first_sample: Index of its first sample; None where there is no result.
        gap: Samples missing between this window and the one before.
        result: Its result; `Result.round_trip_us` is NaN, as nothing was asked.
        error: Why there is none.
    """

    sequence: int
    first_sample: int | None
    gap: int
    result: Result | None
    error: ReplyError | None


@dataclass(frozen=True, slots=True)
class StreamWish:
    """How a stream is to be cut; see `protocol.StreamParameters`."""

    hop: int
    timeout_us: int | None = None
    priority: int | None = None


def is_pushed(message: protocol.Message) -> bool:
    """Whether a message tells of a window or a refused piece, and is no answer to OPEN or CLOSE."""
    if message.type != protocol.ERR:
        return message.type == protocol.RESULT
    try:
        header = protocol.decode_answer(message, protocol.ErrorHeader, DEFAULT_LIMITS)
    except errors.ProtocolError:
        return False
    return header.sequence is not None


class StreamCodec:
    """Encodes the messages of one stream and decodes its windows.

    Attributes:
        id: Of the stream, once it was opened.
        reopened: How often the daemon did not know the stream any more, as after its restart.
    """

    def __init__(self, codec: Codec, metadata: MetaHeader, wish: StreamWish) -> None:
        """Speak of one stream.

        Raises:
            UnsupportedError: If the model takes no raw samples.
        """
        raw_input(metadata)
        self.id = ""
        self.reopened = -1
        self._codec = codec
        self._metadata = metadata
        self._wish = wish
        self._next_sample = 0

    def open(self) -> Outgoing:
        """OPEN, under a new id: what is still told of the old one is of no use."""
        wish, self.id = self._wish, self._codec.next_id()
        self.reopened += 1
        frames = protocol.encode_open(
            self.id, hop=wish.hop, timeout_us=wish.timeout_us, priority=wish.priority, model_name=self._metadata.name
        )
        return Outgoing(self.id, frames)

    def push(self, samples: npt.ArrayLike, first_sample: int | None) -> list[bytes]:
        """PUSH; without ``first_sample`` the samples follow those before."""
        array = as_sent(samples)
        first = self._next_sample if first_sample is None else first_sample
        self._next_sample = first + len(array)
        return protocol.encode_push(self.id, array, first)

    def close(self) -> Outgoing:
        """CLOSE."""
        return Outgoing(self.id, protocol.encode_close(self.id))

    def window(self, incoming: Incoming) -> Window | None:
        """What was pushed to the stream; None where the stream must be opened anew.

        Raises:
            ReplyError: If samples were refused.
            ProtocolError: If the message breaks the protocol.
        """
        if incoming.message.type == protocol.ERR:
            header = protocol.decode_answer(incoming.message, protocol.ErrorHeader, DEFAULT_LIMITS)
            try:
                self._codec.check(incoming)
            except NotFoundError:
                return None
            except ReplyError as error:
                if not header.sequence:
                    raise
                return Window(header.sequence, None, 0, None, error)
        reply = protocol.decode_infer_reply(incoming.message, DEFAULT_LIMITS)
        facts = reply.header.parameters
        if facts.sequence is None:
            raise errors.ProtocolError(f"a RESULT of stream {self.id!r} has no sequence")
        told = result(reply, self._metadata, float("nan"))
        return Window(facts.sequence, facts.first_sample, facts.gap, told, None)
