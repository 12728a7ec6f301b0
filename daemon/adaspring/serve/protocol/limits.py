"""What a message may at most be, and how one is refused."""

from __future__ import annotations

import reprlib
from typing import Annotated, Literal, TypeAlias, get_args

import msgspec

from adaspring.errors import ProtocolError

#: Why a message was refused; the words under which refusals are counted.
RejectReason: TypeAlias = Literal[
    "frames",  # too few or too many
    "size",  # too many bytes
    "version",  # not OIPZ1
    "type",  # no such message type
    "header",  # not the JSON object that the type expects
    "model",  # not the model that is served
    "tensors",  # not the tensors that the model takes
    "datatype",
    "shape",
    "binary_size",  # header and frame disagree about the length of a tensor
    "samples",  # raw samples that cannot be preprocessed
    "stream",  # no such stream, or none can be opened
    "queue_full",
    "shed",  # an emergency leaves no time for it
    "draining",
    "http",  # over HTTP: no request that is known there, or one connection too many
]
REJECT_REASONS: tuple[RejectReason, ...] = get_args(RejectReason)

_Positive = Annotated[int, msgspec.Meta(ge=1)]


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a message may at most be.

    Attributes:
        frames: Frames of a message, without the client's identity and delimiter.
        message_bytes: Bytes of all its frames together.
        header_bytes: Bytes of its JSON header.
        nesting: Levels of objects and arrays in the header.
        samples: Samples of one request: while they are computed, nobody else is answered.
    """

    frames: _Positive = 16
    message_bytes: _Positive = 32 << 20
    header_bytes: _Positive = 64 << 10
    nesting: _Positive = 8
    samples: _Positive = 64


DEFAULT_LIMITS = Limits()

# What a refusal quotes of a message stays short, however long the message is.
_short = reprlib.Repr()
_short.maxstring = _short.maxother = 60
_short.maxlist = _short.maxtuple = 8


def quote(value: object) -> str:
    """A value of a message as it may stand in an error."""
    if isinstance(value, bytes):
        value = value[:64].decode("ascii", "backslashreplace")
    return _short.repr(value)


def refusal(reason: RejectReason, message: str, *, code: str = "INVALID_ARG") -> ProtocolError:
    """The error that a broken message is answered with."""
    return ProtocolError(message, code=code, reason=reason)


def quote_json_error(error: Exception) -> str:
    """What a JSON decoder complained about, shortened: it may quote the message."""
    text = str(error)
    return text if len(text) <= 200 else f"{text[:120]}…{text[-60:]}"  # noqa: PLR2004 - about two lines
