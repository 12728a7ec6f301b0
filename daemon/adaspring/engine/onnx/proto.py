"""The part of ONNX's protobuf schema that our graphs need.

ONNX is a protobuf schema, and we write a dozen of its fields. Writing them here
spares the daemon the `onnx` package (`benchmarks.graph` prints what its import
and its builder cost beside ours); tests hold every graph against
`onnx.checker`. Field numbers: onnx/onnx.proto3.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from struct import Struct
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

#: Understood by onnxruntime from 1.14 on.
IR_VERSION = 8
OPSET = 17
#: Domain of onnxruntime's own operations.
MICROSOFT = "com.microsoft"

INPUT = "x"
OUTPUT = "logits"

_FLOAT32 = 1
#: Types of tensors by the kind and size that numpy gives them.
_TYPES = MappingProxyType({"f4": _FLOAT32, "u1": 2, "i1": 3, "i4": 6})
_INT, _STRING, _INTS = 2, 3, 7
#: How one number of a kind is stored.
_PACKED = MappingProxyType({"f4": Struct("<f"), "u1": Struct("<B"), "i1": Struct("<b")})

Attribute: TypeAlias = int | str | tuple[int, ...]

#: Pieces of a graph; large ones are views of the arrays themselves.
Parts: TypeAlias = list[bytes | memoryview]


@dataclass(frozen=True, slots=True)
class Node:
    """One operation of a graph."""

    operator: str
    inputs: tuple[str, ...]
    output: str
    attributes: tuple[tuple[str, Attribute], ...] = ()
    domain: str = ""


def model(
    nodes: Iterable[Node],
    tensors: Iterable[tuple[str, npt.NDArray[Any]]],
    input_shape: tuple[int, ...],
    outputs: int,
    scalars: Iterable[tuple[str, str, float]] = (),
) -> bytes:
    """Serialise a graph that turns `INPUT` into `OUTPUT`, both float32 with a batch axis before them.

    Args:
        nodes: In the order in which they run.
        tensors: Its constants.
        input_shape: Shape of one sample, without the batch axis.
        outputs: Number of logits.
        scalars: Constants that are one number each: name, kind and size as numpy has them, value.
    """
    parts: Parts = [node_field(node) for node in nodes]
    parts += [_scalar_field(name, kind, value) for name, kind, value in scalars]
    for name, array in tensors:
        _append_tensor(parts, name, array)
    parts.append(_signature(input_shape, outputs))
    # A message is its fields one after the other: the graph needs only its length before it.
    length = sum(len(part) for part in parts)
    return b"".join([_PREAMBLE, _varint(7 << 3 | 2), _varint(length), *parts])


# Nodes and headers recur from subnet to subnet, so they are kept: what remains for
# an evolution is to copy the weights once.
@lru_cache(maxsize=4096)
def node_field(node: Node) -> bytes:
    """A node as a field of the graph."""
    encoded = b"".join(_text(1, name) for name in node.inputs) + _text(2, node.output) + _text(4, node.operator)
    encoded += b"".join(_message(5, _attribute(name, value)) for name, value in node.attributes)
    return _message(1, encoded + _text(7, node.domain))


@lru_cache(maxsize=256)
def _signature(input_shape: tuple[int, ...], outputs: int) -> bytes:
    return b"".join(
        [
            _text(2, "subnet"),
            _message(11, _value_info(INPUT, ("n", *input_shape))),
            _message(12, _value_info(OUTPUT, ("n", outputs))),
        ]
    )


def _append_tensor(parts: Parts, name: str, array: npt.NDArray[Any]) -> None:
    kind = array.dtype.str[1:]
    parts.append(_tensor_header(name, array.shape, kind))
    parts.append(np.ascontiguousarray(array, dtype=f"<{kind}").data.cast("B"))


def _scalar_field(name: str, kind: str, value: float) -> bytes:
    return _tensor_header(name, (), kind) + _PACKED[kind].pack(value)


@lru_cache(maxsize=16384)
def _tensor_header(name: str, shape: tuple[int, ...], kind: str) -> bytes:
    """An initializer up to, and with the length of, its raw data."""
    fields = b"".join(_number(1, extent) for extent in shape) + _number(2, _TYPES[kind]) + _text(8, name)
    raw_bytes = int(kind[1]) * prod(shape)
    header = fields + _varint(9 << 3 | 2) + _varint(raw_bytes)
    return _varint(5 << 3 | 2) + _varint(len(header) + raw_bytes) + header


def _value_info(name: str, shape: tuple[int | str, ...]) -> bytes:
    dims = b"".join(
        _message(1, _text(2, extent) if isinstance(extent, str) else _number(1, extent)) for extent in shape
    )
    return _text(1, name) + _message(2, _message(1, _number(1, _FLOAT32) + _message(2, dims)))


def _attribute(name: str, value: Attribute) -> bytes:
    if isinstance(value, int):
        return _text(1, name) + _number(3, value) + _number(20, _INT)
    if isinstance(value, str):
        return _text(1, name) + _text(4, value) + _number(20, _STRING)
    return _text(1, name) + b"".join(_number(8, each) for each in value) + _number(20, _INTS)


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:  # noqa: PLR2004 - seven bits a byte
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _message(field: int, content: bytes | bytearray) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _text(field: int, value: str) -> bytes:
    return _message(field, value.encode())


_PREAMBLE = b"".join(
    [
        _number(1, IR_VERSION),
        _text(2, "adaspring"),
        _message(8, _number(2, OPSET)),
        _message(8, _text(1, MICROSOFT) + _number(2, 1)),
    ]
)
