"""Streams: samples in pieces one way, results of their windows the other. An extension of ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import msgspec
import numpy.typing as npt

from adaspring.serve.protocol.headers import InferReplyHeader, ReplyParameters
from adaspring.serve.protocol.jsontext import decode_json
from adaspring.serve.protocol.limits import Limits, refusal
from adaspring.serve.protocol.messages import CLOSE, MAGIC, OPEN, PUSH, RESULT, Message
from adaspring.serve.protocol.requests import (
    DEFAULT_PRIORITY,
    Models,
    Priority,
    Timeout,
    check_tensor,
    find_model,
    the_tensor,
)
from adaspring.serve.protocol.signature import ModelSignature, RawInput
from adaspring.serve.protocol.tensors import TensorHeader, decode_tensor, encode_tensor

_Count = Annotated[int, msgspec.Meta(ge=1, le=2**53)]
_Index = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
_Id = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]


class StreamParameters(msgspec.Struct, frozen=True, omit_defaults=True):
    """How to cut a stream into windows.

    Attributes:
        hop: Samples from one window to the next.
        window: Samples of a window; None for those that the model takes.
        timeout: From the arrival of a window's last sample, in microseconds; expired windows are not computed.
        priority: 1 is the highest.
    """

    hop: _Count
    window: _Count | None = None
    timeout: Timeout | None = None
    priority: Priority = DEFAULT_PRIORITY


class OpenHeader(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Header of OPEN.

    Attributes:
        id: Names the stream among those of the connection.
        parameters: See `StreamParameters`.
        model_name: Empty for the only model that is served.
    """

    id: _Id
    parameters: StreamParameters
    model_name: str = ""


class OpenedHeader(msgspec.Struct, frozen=True):
    """The answer to OPEN.

    Attributes:
        id: Of the stream.
        window: Samples of a window.
        hop: Samples from one window to the next.
        input: What PUSH takes: name, datatype, shape of one sample, rate.
    """

    id: str
    window: int
    hop: int
    input: RawInput


class PushParameters(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where samples belong.

    Attributes:
        first_sample: Index of the first of them, counted by the sender; None where they
            follow those before.
    """

    first_sample: _Index | None = None


class PushHeader(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Header of PUSH, which is answered only where it is refused."""

    id: _Id
    inputs: tuple[TensorHeader, ...]
    parameters: PushParameters = PushParameters()


class CloseHeader(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Header of CLOSE."""

    id: _Id


class ClosedHeader(msgspec.Struct, frozen=True):
    """The answer to CLOSE; nothing of the stream follows it.

    Attributes:
        id: Of the stream.
        windows: How many it had.
        dropped: Those of them that still waited, and were not computed.
    """

    id: str
    windows: int
    dropped: int


class Piece(msgspec.Struct, frozen=True):
    """Samples of a stream.

    Attributes:
        id: Of the stream.
        samples: Shape ``(n, *raw.shape[1:])``.
        first_sample: See `PushParameters`.
    """

    id: str
    samples: npt.NDArray[Any]
    first_sample: int | None


_open_decoder = msgspec.json.Decoder(OpenHeader)
_push_decoder = msgspec.json.Decoder(PushHeader)
_close_decoder = msgspec.json.Decoder(CloseHeader)
_encode = msgspec.json.Encoder().encode


def decode_open(message: Message, models: Models, limits: Limits) -> tuple[OpenHeader, ModelSignature]:
    """Decode OPEN, and find the model that is meant.

    Raises:
        ProtocolError: If there is no such model, it takes no stream, or not such windows.
    """
    header = decode_json(_open_decoder, message.header, limits.nesting, "the header")
    model = find_model(header.model_name, "", models)
    if message.tensors:
        raise refusal("frames", f"OPEN takes no tensors; {len(message.tensors)} follow its header")
    raw = _streamed(model)
    window, hop = header.parameters.window, header.parameters.hop
    if window not in {None, raw.shape[0]}:
        raise refusal("stream", f"window is {window}; the model takes windows of {raw.shape[0]} samples")
    if raw.hop is not None and hop % raw.hop:
        raise refusal("stream", f"hop is {hop}; expected a multiple of {raw.hop}, which the preprocessing goes on by")
    return header, model


def decode_push(message: Message, model_of: Callable[[str], ModelSignature], limits: Limits) -> Piece:
    """Decode PUSH.

    Args:
        message: The message.
        model_of: The model of a stream, by its id; refuses what is no stream.
        limits: What is allowed.

    Raises:
        ProtocolError: If it does not fit the model; at most so many windows of samples come at once as an
            INFER request may have.
    """
    header = decode_json(_push_decoder, message.header, limits.nesting, "the header")
    raw = _streamed(model_of(header.id))
    tensor = the_tensor(header.inputs, message, [raw.name])
    check_tensor(tensor, (raw.datatype,), raw.shape[1:], raw.shape[0] * limits.samples)
    return Piece(header.id, decode_tensor(tensor, message.tensors[0]), header.parameters.first_sample)


def decode_close(message: Message, limits: Limits) -> CloseHeader:
    """Decode CLOSE.

    Raises:
        ProtocolError: If its header is wrong.
    """
    if message.tensors:
        raise refusal("frames", f"CLOSE takes no tensors; {len(message.tensors)} follow its header")
    return decode_json(_close_decoder, message.header, limits.nesting, "the header")


def encode_open(
    stream_id: str,
    *,
    hop: int,
    window: int | None = None,
    timeout_us: int | None = None,
    priority: int | None = None,
    model_name: str = "",
) -> list[bytes]:
    """Frames of OPEN; see `StreamParameters`."""
    parameters = StreamParameters(hop, window, timeout_us, DEFAULT_PRIORITY if priority is None else priority)
    return [MAGIC, OPEN, _encode(OpenHeader(stream_id, parameters, model_name))]


def encode_push(stream_id: str, samples: npt.NDArray[Any], first_sample: int | None, name: str = "raw") -> list[bytes]:
    """Frames of PUSH.

    Raises:
        ProtocolError: If the protocol has no name for the type of the samples.
    """
    tensor, frame = encode_tensor(name, samples)
    return [MAGIC, PUSH, _encode(PushHeader(stream_id, (tensor,), PushParameters(first_sample))), frame]


def encode_close(stream_id: str) -> list[bytes]:
    """Frames of CLOSE."""
    return [MAGIC, CLOSE, _encode(CloseHeader(stream_id))]


def encode_result(
    stream_id: str, model: ModelSignature, outputs: npt.NDArray[Any], parameters: ReplyParameters
) -> list[bytes]:
    """Frames that push the result of a window."""
    tensor, frame = encode_tensor(model.output_name, outputs)
    header = InferReplyHeader(stream_id, model.name, model.version, (tensor,), parameters)
    return [MAGIC, RESULT, _encode(header), frame]


def _streamed(model: ModelSignature) -> RawInput:
    if model.raw is None or model.raw.hop is None:
        raise refusal(
            "stream",
            f"model {model.name!r} takes no stream: its bundle declares no preprocessing of samples in time;"
            " send whole inputs by INFER",
            code="UNSUPPORTED",
        )
    return model.raw
