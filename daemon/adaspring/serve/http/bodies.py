"""Bodies of the Open Inference Protocol v2 over HTTP to OIP/Z 1 and back.

The header objects are the same; HTTP alone knows values in JSON, and puts the tensors of the
binary extension behind the JSON of one body.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
import numpy as np

from adaspring.serve.protocol import DATATYPES, INFER, MAGIC, Limits
from adaspring.serve.protocol.jsontext import decode_json
from adaspring.serve.protocol.limits import quote, refusal


class _Tensor(msgspec.Struct, frozen=True):
    name: str
    datatype: str
    shape: tuple[int, ...]
    parameters: dict[str, Any] = {}
    data: list[Any] | None = None


class _Output(msgspec.Struct, frozen=True):
    name: str
    parameters: dict[str, Any] = {}


class _Infer(msgspec.Struct, frozen=True):
    inputs: tuple[_Tensor, ...]
    id: str = ""
    parameters: dict[str, Any] = {}
    outputs: tuple[_Output, ...] = ()


class Inference(NamedTuple):
    """An inference request on its way to the queue.

    Attributes:
        frames: An INFER request of OIP/Z 1.
        binary: Whether the outputs go back behind the JSON rather than in it.
    """

    frames: list[bytes]
    binary: bool


_decoder = msgspec.json.Decoder(_Infer)


def decode_inference(body: bytes, json_bytes: int, model: str, version: str, limits: Limits) -> Inference:
    """Take an inference request apart.

    Args:
        body: JSON, and behind it the tensors of the binary extension.
        json_bytes: Where the JSON ends.
        model: Name in the path.
        version: Version in the path; empty for none.
        limits: What is allowed.

    Raises:
        ProtocolError: If the body is not as the protocol says.
    """
    request = decode_json(_decoder, body[:json_bytes], limits.nesting, "the JSON of the body")
    headers: list[dict[str, Any]] = []
    tensors: list[bytes] = []
    at = json_bytes
    for tensor in request.inputs:
        size = tensor.parameters.get("binary_data_size")
        if size is None:
            frame = _encode_values(tensor)
        elif isinstance(size, int) and 0 <= size <= len(body) - at:
            frame = body[at : at + size]
            at += size
        else:
            raise refusal(
                "binary_size",
                f"tensor {quote(tensor.name)} has binary_data_size {quote(size)}; {len(body) - at} bytes are left",
            )
        tensors.append(frame)
        headers.append(
            {
                "name": tensor.name,
                "datatype": tensor.datatype,
                "shape": tensor.shape,
                "parameters": {"binary_data_size": len(frame)},
            }
        )
    if at != len(body):
        raise refusal("binary_size", f"{len(body) - at} bytes follow the last tensor")
    header = {
        "id": request.id,
        "model_name": model,
        "model_version": version,
        "parameters": {
            name: request.parameters[name] for name in ("timeout", "priority") if name in request.parameters
        },
        "inputs": headers,
        "outputs": [{"name": output.name} for output in request.outputs],
    }
    asked = [output.parameters.get("binary_data") for output in request.outputs]
    binary = asked[0] if asked and asked[0] is not None else request.parameters.get("binary_data_output", False)
    return Inference([MAGIC, INFER, msgspec.json.encode(header), *tensors], bool(binary))


def encode_inference(header: bytes, tensors: list[bytes], *, binary: bool) -> tuple[bytes, int | None]:
    """Put the reply to an inference together.

    Args:
        header: JSON of the OK reply.
        tensors: Its frames.
        binary: Whether tensors go behind the JSON.

    Returns:
        The body, and where its JSON ends; None where it is JSON alone.
    """
    if binary:
        return b"".join([header, *tensors]), len(header)
    reply = msgspec.json.decode(header)
    for output, tensor in zip(reply["outputs"], tensors, strict=True):
        del output["parameters"]
        output["data"] = np.frombuffer(tensor, DATATYPES[output["datatype"]]).tolist()
    return msgspec.json.encode(reply), None


def _encode_values(tensor: _Tensor) -> bytes:
    """The frame of a tensor whose values stand in the JSON, flat or nested."""
    dtype = DATATYPES.get(tensor.datatype)
    if dtype is None or tensor.data is None:
        raise refusal(
            "tensors",
            f"tensor {quote(tensor.name)} needs a datatype of {', '.join(DATATYPES)}, and data or binary data",
        )
    try:
        values: bytes = np.array(tensor.data, dtype).tobytes()
    except (ValueError, TypeError, OverflowError) as error:
        raise refusal("tensors", f"the data of tensor {quote(tensor.name)} is no {tensor.datatype}: {error}") from error
    return values
