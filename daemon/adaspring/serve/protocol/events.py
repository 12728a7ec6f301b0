"""Events: what the daemon tells everybody who listens."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, TypeAlias, get_args

import msgspec

from adaspring.errors import ProtocolError
from adaspring.serve.protocol.jsontext import decode_json
from adaspring.serve.protocol.limits import quote, refusal

Topic: TypeAlias = Literal["evolution", "context", "throttle", "reject", "failure"]
TOPICS: tuple[Topic, ...] = get_args(Topic)

_NESTING = 32


class EventBody(msgspec.Struct, frozen=True):
    """The JSON of an event.

    Attributes:
        sequence: Counts the events of a topic from 1; a gap tells a subscriber that it missed some.
        at: Wall clock, UTC.
        data: What happened.
    """

    sequence: int
    at: datetime
    data: Any


class Event(msgspec.Struct, frozen=True):
    """An event as a subscriber sees it; see `EventBody`."""

    topic: str
    sequence: int
    at: datetime
    data: Any


_decoder = msgspec.json.Decoder(EventBody)
_encode = msgspec.json.Encoder().encode
_FRAMES = 2


def encode_event(topic: str, sequence: int, at: datetime, data: Any) -> list[bytes]:
    """Frames of an event.

    Args:
        topic: One of `TOPICS`.
        sequence: See `EventBody`.
        at: Wall clock, with a time zone.
        data: Anything that msgspec turns into JSON.
    """
    return [topic.encode(), _encode(EventBody(sequence, at, data))]


def decode_event(frames: Sequence[bytes]) -> Event:
    """Decode an event.

    Raises:
        ProtocolError: If it is none.
    """
    if len(frames) != _FRAMES:
        raise refusal("frames", f"an event has {len(frames)} frames; expected {_FRAMES}: topic and JSON")
    try:
        topic = frames[0].decode()
    except UnicodeDecodeError as error:
        raise ProtocolError(f"the topic {quote(frames[0])} is not UTF-8") from error
    body = decode_json(_decoder, frames[1], _NESTING, "the event")
    return Event(topic, body.sequence, body.at, body.data)
