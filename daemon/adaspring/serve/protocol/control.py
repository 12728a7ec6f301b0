"""The control protocol: one JSON object each way."""

from __future__ import annotations

from typing import Any

import msgspec

from adaspring.serve.protocol.jsontext import decode_json
from adaspring.serve.protocol.limits import DEFAULT_LIMITS, refusal

#: Bytes of a control call. Replies may be longer: the daemon is trusted by its operator.
CONTROL_CALL_BYTES = DEFAULT_LIMITS.header_bytes
#: Levels of objects and arrays in calls and replies.
CONTROL_NESTING = 32


class ControlCall(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an operator asks.

    Attributes:
        command: For example ``"status"``.
        arguments: Its arguments by name.
    """

    command: str
    arguments: dict[str, Any] = {}


class ControlReply(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the daemon answers.

    Attributes:
        ok: Whether the command was carried out.
        result: What it gave, if it was.
        code: A code of the protocol, if it was not.
        error: A sentence, if it was not.
    """

    ok: bool
    result: Any = None
    code: str = ""
    error: str = ""


_call_decoder = msgspec.json.Decoder(ControlCall)
_reply_decoder = msgspec.json.Decoder(ControlReply)
_encode = msgspec.json.Encoder().encode


def encode_control_call(command: str, arguments: dict[str, Any]) -> bytes:
    """The frame of a call."""
    return _encode(ControlCall(command, arguments))


def decode_control_call(frame: bytes) -> ControlCall:
    """Decode a call.

    Raises:
        ProtocolError: If it is too long or not a call.
    """
    if len(frame) > CONTROL_CALL_BYTES:
        raise refusal("size", f"the call has {len(frame)} bytes; at most {CONTROL_CALL_BYTES} are allowed")
    return decode_json(_call_decoder, frame, CONTROL_NESTING, "the call")


def encode_control_reply(result: Any) -> bytes:
    """The frame of a good reply.

    Args:
        result: Anything that msgspec turns into JSON.
    """
    return _encode(ControlReply(ok=True, result=result))


def encode_control_error(code: str, error: str) -> bytes:
    """The frame of a refusal."""
    return _encode(ControlReply(ok=False, code=code, error=error))


def decode_control_reply(frame: bytes) -> ControlReply:
    """Decode a reply.

    Raises:
        ProtocolError: If it is none.
    """
    return decode_json(_reply_decoder, frame, CONTROL_NESTING, "the reply")
