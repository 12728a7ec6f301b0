"""A subnet as the bytes of an ONNX model.

ONNX is a protobuf schema, and we write a dozen of its fields. Writing them here
spares the daemon the `onnx` package (`benchmarks.graph` prints what its import
and its builder cost beside ours); tests hold every graph against
`onnx.checker`. Field numbers: onnx/onnx.proto3.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from math import prod

import numpy as np
import numpy.typing as npt

from adaspring.engine.assemble import Assembled
from adaspring.space import Conv

#: Understood by onnxruntime from 1.14 on.
IR_VERSION = 8
OPSET = 17
#: Domain of onnxruntime's fused convolution, present since its first releases.
MICROSOFT = "com.microsoft"

INPUT = "x"
OUTPUT = "logits"

_FLOAT32 = 1
_INT, _STRING, _INTS = 2, 3, 7


def encode(assembled: Assembled, input_shape: tuple[int, ...], outputs: int) -> bytes:
    """Serialise a subnet.

    Convolution and ReLU are written as one fused node, which is what the optimiser
    would make of them: the session can then be built with optimisation off, in
    about half the time.

    Args:
        assembled: The subnet.
        input_shape: Shape of one sample, without the batch axis.
        outputs: Number of logits.
    """
    parts: list[bytes | memoryview] = []
    source = INPUT
    for index, folded in enumerate(assembled.layers):
        target = f"t{index}"
        parts.append(_conv_node(folded.layer.conv, len(folded.layer.in_size), index, source))
        _append_tensor(parts, f"w{index}", folded.weight)
        _append_tensor(parts, f"b{index}", folded.bias)
        source = target
    _append_tensor(parts, "head.w", assembled.head_weight)
    _append_tensor(parts, "head.b", assembled.head_bias)
    parts.append(_frame(source, input_shape, outputs))
    # A message is its fields one after the other: the graph needs only its length before it.
    length = sum(len(part) for part in parts)
    return b"".join([_PREAMBLE, _varint(7 << 3 | 2), _varint(length), *parts])


# Nodes and headers recur from subnet to subnet, so they are kept: what remains for
# an evolution is to copy the weights once.
@lru_cache(maxsize=4096)
def _conv_node(conv: Conv, dimensions: int, index: int, source: str) -> bytes:
    attributes = [
        _ints_attribute("kernel_shape", [conv.kernel] * dimensions),
        _ints_attribute("strides", [conv.stride] * dimensions),
        _ints_attribute("pads", [conv.kernel // 2] * (2 * dimensions)),
        _int_attribute("group", conv.out_channels if conv.depthwise else 1),
    ]
    inputs, output = [source, f"w{index}", f"b{index}"], f"t{index}"
    if conv.relu:
        attributes.append(_string_attribute("activation", "Relu"))
        return _message(1, _node("FusedConv", inputs, output, attributes, MICROSOFT))
    return _message(1, _node("Conv", inputs, output, attributes))


@lru_cache(maxsize=256)
def _frame(source: str, input_shape: tuple[int, ...], outputs: int) -> bytes:
    """What stands around the convolutions: pool, classifier, input and output."""
    return b"".join(
        [
            _message(1, _node("GlobalAveragePool", [source], "pooled")),
            _message(1, _node("Flatten", ["pooled"], "features")),
            _message(1, _node("Gemm", ["features", "head.w", "head.b"], OUTPUT, [_int_attribute("transB", 1)])),
            _text(2, "subnet"),
            _message(11, _value_info(INPUT, ("n", *input_shape))),
            _message(12, _value_info(OUTPUT, ("n", outputs))),
        ]
    )


def _append_tensor(parts: list[bytes | memoryview], name: str, array: npt.NDArray[np.float32]) -> None:
    parts.append(_tensor_header(name, array.shape))
    parts.append(array.astype("<f4", order="C", copy=False).reshape(-1).view(np.uint8).data)


@lru_cache(maxsize=4096)
def _tensor_header(name: str, shape: tuple[int, ...]) -> bytes:
    """An initializer up to, and with the length of, its raw data."""
    fields = b"".join(_number(1, extent) for extent in shape) + _number(2, _FLOAT32) + _text(8, name)
    raw_bytes = 4 * prod(shape)
    header = fields + _varint(9 << 3 | 2) + _varint(raw_bytes)
    return _varint(5 << 3 | 2) + _varint(len(header) + raw_bytes) + header


def _node(
    operator: str, inputs: Iterable[str], output: str, attributes: Iterable[bytes] = (), domain: str = ""
) -> bytes:
    encoded = b"".join(_text(1, name) for name in inputs) + _text(2, output) + _text(4, operator)
    return encoded + b"".join(_message(5, attribute) for attribute in attributes) + _text(7, domain)


def _value_info(name: str, shape: tuple[int | str, ...]) -> bytes:
    dims = b"".join(
        _message(1, _text(2, extent) if isinstance(extent, str) else _number(1, extent)) for extent in shape
    )
    return _text(1, name) + _message(2, _message(1, _number(1, _FLOAT32) + _message(2, dims)))


def _int_attribute(name: str, value: int) -> bytes:
    return _text(1, name) + _number(3, value) + _number(20, _INT)


def _ints_attribute(name: str, values: Iterable[int]) -> bytes:
    return _text(1, name) + b"".join(_number(8, value) for value in values) + _number(20, _INTS)


def _string_attribute(name: str, value: str) -> bytes:
    return _text(1, name) + _text(4, value) + _number(20, _STRING)


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
