"""The frames of a message: version, type, header, tensors."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from adaspring.errors import ProtocolError
from adaspring.serve.protocol.jsontext import decode_json
from adaspring.serve.protocol.limits import Limits, quote, refusal

MAGIC = b"OIPZ1"

INFER = b"INFER"
LIVE = b"LIVE"
READY = b"READY"
META = b"META"
STATS = b"STATS"
CANCEL = b"CANCEL"
OPEN = b"OPEN"
PUSH = b"PUSH"
CLOSE = b"CLOSE"
REQUEST_TYPES = (INFER, LIVE, READY, META, STATS, CANCEL, OPEN, PUSH, CLOSE)

OK = b"OK"
ERR = b"ERR"
RESULT = b"RESULT"
REPLY_TYPES = (OK, ERR, RESULT)

_FIXED_FRAMES = 3


class Message(msgspec.Struct, frozen=True, gc=False):
    """A message whose frames were counted and named, with its header still undecoded.

    Attributes:
        type: One of `REQUEST_TYPES` or `REPLY_TYPES`.
        header: JSON.
        tensors: Frames behind the header.
    """

    type: bytes
    header: bytes
    tensors: Sequence[bytes]


def open_request(frames: Sequence[bytes], limits: Limits) -> Message:
    """Check the frames of a request.

    Args:
        frames: Without identity and delimiter.
        limits: What is allowed.

    Raises:
        ProtocolError: If a limit is broken, or version or type are unknown.
    """
    return _open(frames, limits, REQUEST_TYPES)


def open_reply(frames: Sequence[bytes], limits: Limits) -> Message:
    """Check the frames of a reply; see `open_request`."""
    return _open(frames, limits, REPLY_TYPES)


def _open(frames: Sequence[bytes], limits: Limits, types: Sequence[bytes]) -> Message:
    # The version comes first: another one may count frames in another way.
    if frames and frames[0] != MAGIC:
        raise refusal("version", f"the first frame is {quote(frames[0])}; expected {quote(MAGIC)}")
    if not _FIXED_FRAMES <= len(frames) <= limits.frames:
        raise refusal(
            "frames",
            f"the message has {len(frames)} frames; expected {_FIXED_FRAMES} to {limits.frames}:"
            " version, type, header, then one for each tensor",
        )
    kind, header = frames[1], frames[2]
    if len(header) > limits.header_bytes:
        raise refusal("size", f"the header has {len(header)} bytes; at most {limits.header_bytes} are allowed")
    size = sum(map(len, frames))
    if size > limits.message_bytes:
        raise refusal("size", f"the message has {size} bytes; at most {limits.message_bytes} are allowed")
    if kind not in types:
        expected = ", ".join(name.decode() for name in types)
        raise refusal("type", f"the message type is {quote(kind)}; expected one of {expected}")
    return Message(kind, header, frames[_FIXED_FRAMES:])


class _IdOnly(msgspec.Struct):
    id: str = ""


_id_decoder = msgspec.json.Decoder(_IdOnly)


def read_id(header: bytes, limits: Limits) -> str:
    """The ``id`` of a header, whatever else is wrong with it; empty where it cannot be read."""
    if len(header) > limits.header_bytes:
        return ""
    try:
        return decode_json(_id_decoder, header, limits.nesting, "the header").id
    except ProtocolError:
        return ""
