"""Replies: encoded by the daemon, decoded by clients."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar

import msgspec
import numpy.typing as npt

from adaspring.serve.protocol.headers import ErrorHeader, InferReplyHeader, ReplyParameters
from adaspring.serve.protocol.jsontext import decode_json
from adaspring.serve.protocol.limits import Limits, refusal
from adaspring.serve.protocol.messages import ERR, MAGIC, OK, Message
from adaspring.serve.protocol.signature import ModelSignature
from adaspring.serve.protocol.tensors import decode_tensor, encode_tensor

_encode = msgspec.json.Encoder().encode
_infer_decoder = msgspec.json.Decoder(InferReplyHeader)

H = TypeVar("H", bound=msgspec.Struct)


class InferReply(NamedTuple):
    """A decoded INFER reply.

    Attributes:
        header: What answered.
        outputs: Read-only, shape ``(n, outputs)``.
    """

    header: InferReplyHeader
    outputs: npt.NDArray[Any]


def encode_infer_reply(
    request_id: str, model: ModelSignature, outputs: npt.NDArray[Any], parameters: ReplyParameters
) -> list[bytes]:
    """Frames of the reply to an INFER request."""
    tensor, frame = encode_tensor(model.output_name, outputs)
    header = InferReplyHeader(request_id, model.name, model.version, (tensor,), parameters)
    return [MAGIC, OK, _encode(header), frame]


def encode_answer(header: msgspec.Struct) -> list[bytes]:
    """Frames of the reply to a message other than INFER."""
    return [MAGIC, OK, _encode(header)]


def encode_error(header: ErrorHeader) -> list[bytes]:
    """Frames of an ERR reply."""
    return [MAGIC, ERR, _encode(header)]


def decode_infer_reply(message: Message, limits: Limits) -> InferReply:
    """Decode an OK reply to an INFER request.

    Raises:
        ProtocolError: If it breaks the protocol.
    """
    header = decode_json(_infer_decoder, message.header, limits.nesting, "the header of the reply")
    if len(header.outputs) != 1 or len(message.tensors) != 1:
        raise refusal("tensors", f"the reply has {len(message.tensors)} tensor frames; expected 1")
    return InferReply(header, decode_tensor(header.outputs[0], message.tensors[0]))


def decode_answer(message: Message, header_type: type[H], limits: Limits) -> H:
    """Decode a reply that is a header alone.

    Raises:
        ProtocolError: If it breaks the protocol.
    """
    decoder = msgspec.json.Decoder(header_type)
    return decode_json(decoder, message.header, limits.nesting, "the header of the reply")
