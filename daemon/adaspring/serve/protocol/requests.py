"""Requests: encoded by clients, decoded and held against the model by the daemon."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from adaspring.serve.protocol.headers import QueryHeader, QueryParameters
from adaspring.serve.protocol.jsontext import decode_json
from adaspring.serve.protocol.limits import Limits, quote, refusal
from adaspring.serve.protocol.messages import CANCEL, INFER, MAGIC, Message
from adaspring.serve.protocol.signature import ModelSignature
from adaspring.serve.protocol.tensors import TensorHeader, decode_tensor, encode_tensor

#: Priorities go from 1, the highest, to this.
LOWEST_PRIORITY = 9
DEFAULT_PRIORITY = 5
#: Most rows or columns of an image: beyond it resizing one takes memory that its bytes do not show.
MOST_EXTENT = 8192

#: What is served, by name.
Models: TypeAlias = Mapping[str, ModelSignature]

Timeout = Annotated[int, msgspec.Meta(ge=1, le=2**53)]
Priority = Annotated[int, msgspec.Meta(ge=1, le=LOWEST_PRIORITY)]


class InferParameters(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Parameters of an INFER request; others are ignored, as the Open Inference Protocol asks.

    Attributes:
        timeout: From arrival, in microseconds; expired work is not computed.
        priority: 1 is the highest.
    """

    timeout: Timeout | None = None
    priority: Priority = DEFAULT_PRIORITY


class RequestedOutput(msgspec.Struct, frozen=True, gc=False):
    """An output that the client names; all outputs are sent in binary whatever its parameters say."""

    name: str


class InferHeader(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True, gc=False):
    """Header of an INFER request, as in the Open Inference Protocol v2."""

    id: str = ""
    model_name: str = ""
    model_version: str = ""
    parameters: InferParameters = InferParameters()
    inputs: tuple[TensorHeader, ...]
    outputs: tuple[RequestedOutput, ...] = ()


class InferRequest(msgspec.Struct, frozen=True, gc=False):
    """A request that fits the model.

    Attributes:
        id: Echoed in the reply.
        batch: Contiguous and writable, float32 of shape ``(n, *input_shape)``; where `raw`, as it was sent.
        timeout_us: From arrival, in microseconds; None for no deadline.
        priority: 1 is the highest.
        raw: Whether the batch is what a sensor gave and must be preprocessed.
        model: Name of the model.
    """

    id: str
    batch: npt.NDArray[Any]
    timeout_us: int | None
    priority: int
    raw: bool = False
    model: str = ""

    @property
    def samples(self) -> int:
        """Samples in the batch."""
        return len(self.batch)

    def joins(self, model: str) -> bool:
        """Whether it may be computed together with other requests of a model."""
        return len(self.batch) == 1 and self.model == model


_infer_decoder = msgspec.json.Decoder(InferHeader)
_query_decoder = msgspec.json.Decoder(QueryHeader)
_encode = msgspec.json.Encoder().encode


def decode_infer(message: Message, models: Models, limits: Limits) -> InferRequest:
    """Decode an INFER request.

    Raises:
        ProtocolError: If it fits no model that is served; the message names what would.
    """
    header = decode_json(_infer_decoder, message.header, limits.nesting, "the header")
    model = find_model(header.model_name, header.model_version, models)
    for output in header.outputs:
        if output.name != model.output_name:
            raise refusal("tensors", f"output {quote(output.name)} is unknown; expected {quote(model.output_name)}")
    raw = model.raw
    tensor = the_tensor(header.inputs, message, (model.input_name,) if raw is None else (model.input_name, raw.name))
    timeout_us, priority = header.parameters.timeout, header.parameters.priority
    if raw is not None and tensor.name == raw.name:
        check_tensor(tensor, (raw.datatype,), raw.shape, limits.samples)
        samples = decode_tensor(tensor, message.tensors[0])
        return InferRequest(header.id, samples, timeout_us, priority, raw=True, model=model.name)
    check_tensor(tensor, model.datatypes, model.input_shape, limits.samples)
    values = decode_tensor(tensor, message.tensors[0])
    # A copy of our own: engines may ask for memory that can be written to.
    batch = values.copy() if tensor.datatype == "FP32" else values.astype(np.float32)
    return InferRequest(header.id, batch, timeout_us, priority, model=model.name)


def the_tensor(inputs: Sequence[TensorHeader], message: Message, names: Sequence[str]) -> TensorHeader:
    """The header of the one tensor of a message.

    Raises:
        ProtocolError: If there are more or none, or it has none of the names.
    """
    if len(inputs) != 1 or inputs[0].name not in names:
        expected = " or ".join(f"[{quote(name)}]" for name in names)
        raise refusal("tensors", f"the inputs are {quote([tensor.name for tensor in inputs])}; expected {expected}")
    if len(message.tensors) != 1:
        raise refusal("frames", f"{len(message.tensors)} tensor frames follow the header; expected 1")
    return inputs[0]


def check_tensor(tensor: TensorHeader, datatypes: Sequence[str], sample: tuple[int, ...], samples: int) -> None:
    """Hold a tensor against what is expected.

    Args:
        tensor: Its header.
        datatypes: Those accepted.
        sample: Shape of one sample; -1 where any extent is.
        samples: How many there may be.

    Raises:
        ProtocolError: If it does not fit.
    """
    if tensor.datatype not in datatypes:
        expected = " or ".join(datatypes)
        raise refusal(
            "datatype", f"input {quote(tensor.name)} has datatype {quote(tensor.datatype)}; expected {expected}"
        )
    shape = tensor.shape
    if not shape or not 1 <= shape[0] <= samples or not (shape[1:] == sample or _is_like(shape[1:], sample)):
        extents = "".join(f", {f'1 to {MOST_EXTENT}' if extent < 0 else extent}" for extent in sample)
        raise refusal(
            "shape",
            f"input {quote(tensor.name)} has shape {quote(list(shape))};"
            f" expected [n{extents}] with n from 1 to {samples}",
        )


def _is_like(shape: tuple[int, ...], expected: tuple[int, ...]) -> bool:
    return len(shape) == len(expected) and all(
        extent == wanted or (wanted < 0 < extent <= MOST_EXTENT) for extent, wanted in zip(shape, expected, strict=True)
    )


def decode_query(message: Message, models: Models, limits: Limits) -> QueryHeader:
    """Decode a message other than INFER.

    Raises:
        ProtocolError: If its header is wrong, or names a model that is not served.
    """
    if message.tensors:
        raise refusal("frames", f"{message.type.decode()} takes no tensors; {len(message.tensors)} follow its header")
    header = decode_json(_query_decoder, message.header, limits.nesting, "the header")
    if header.model_name:
        find_model(header.model_name, "", models)
    if (header.parameters.cancel_id is None) == (message.type == CANCEL):
        raise refusal(
            "header", "parameters.cancel_id names the request to cancel; it belongs to CANCEL and to no other type"
        )
    return header


def encode_infer(
    request_id: str,
    model_name: str,
    input_name: str,
    array: npt.NDArray[Any],
    *,
    timeout_us: int | None = None,
    priority: int | None = None,
) -> list[bytes]:
    """Frames of an INFER request.

    Args:
        request_id: Echoed in the reply.
        model_name: The model asked.
        input_name: Name of its input.
        array: With the batch axis first.
        timeout_us: From arrival, in microseconds.
        priority: 1, the highest, to `LOWEST_PRIORITY`.

    Raises:
        ProtocolError: If the protocol has no name for the type of the array.
    """
    tensor, frame = encode_tensor(input_name, array)
    parameters = InferParameters(timeout_us, DEFAULT_PRIORITY if priority is None else priority)
    header = InferHeader(id=request_id, model_name=model_name, parameters=parameters, inputs=(tensor,))
    return [MAGIC, INFER, _encode(header), frame]


def encode_query(kind: bytes, request_id: str, *, model_name: str = "", cancel_id: str | None = None) -> list[bytes]:
    """Frames of a message other than INFER.

    Args:
        kind: Its type.
        request_id: Echoed in the reply.
        model_name: The model asked about; empty for the one that is served.
        cancel_id: CANCEL: the request to cancel.
    """
    return [MAGIC, kind, _encode(QueryHeader(request_id, model_name, QueryParameters(cancel_id)))]


def find_model(name: str, version: str, models: Models) -> ModelSignature:
    """The model that a message means.

    Args:
        name: As in the message; empty for the only one that is served.
        version: As in the message; empty for whichever is served.
        models: Those that are served.

    Raises:
        ProtocolError: If there is none of this name and version, or several and no name.
    """
    if not name and len(models) > 1:
        raise refusal("model", f"several models are served, and model_name names none; expected {_names(models)}")
    model = models.get(name) if name else next(iter(models.values()))
    if model is None:
        raise refusal("model", f"model {quote(name)} is not served; expected {_names(models)}", code="NOT_FOUND")
    if version not in ("", model.version):
        raise refusal(
            "model",
            f"version {quote(version)} of model {quote(model.name)} is not served;"
            f" expected {quote(model.version)}, or none",
            code="NOT_FOUND",
        )
    return model


def _names(models: Models) -> str:
    return " or ".join(quote(name) for name in models)
