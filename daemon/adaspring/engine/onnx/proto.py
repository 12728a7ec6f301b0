"""A subnet as the bytes of an ONNX model.

ONNX is a protobuf schema, and we write a dozen of its fields. Writing them here
takes a fifth of the time that the `onnx` package takes, and spares the daemon
its import (80 ms and 11 MiB measured, of a budget of 1 s and 100 MiB); tests
hold every graph against `onnx.checker`. Field numbers: onnx/onnx.proto3.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from adaspring.engine.assemble import Assembled, FoldedLayer

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
    graph = bytearray()
    tensor = INPUT
    for index, folded in enumerate(assembled.layers):
        tensor = _encode_conv(graph, index, folded, tensor)
    graph += _message(1, _node("GlobalAveragePool", [tensor], "pooled"))
    graph += _message(1, _node("Flatten", ["pooled"], "features"))
    graph += _message(1, _node("Gemm", ["features", "head.w", "head.b"], OUTPUT, [_int_attribute("transB", 1)]))
    graph += _message(5, _tensor("head.w", assembled.head_weight))
    graph += _message(5, _tensor("head.b", assembled.head_bias))
    graph += _text(2, "subnet")
    graph += _message(11, _value_info(INPUT, ("n", *input_shape)))
    graph += _message(12, _value_info(OUTPUT, ("n", outputs)))
    opsets = _message(8, _number(2, OPSET)) + _message(8, _text(1, MICROSOFT) + _number(2, 1))
    return bytes(_number(1, IR_VERSION) + _text(2, "adaspring") + opsets + _message(7, graph))


def _encode_conv(graph: bytearray, index: int, folded: FoldedLayer, source: str) -> str:
    conv = folded.layer.conv
    dimensions = len(folded.layer.in_size)
    target, weight, bias = f"t{index}", f"w{index}", f"b{index}"
    attributes = [
        _ints_attribute("kernel_shape", [conv.kernel] * dimensions),
        _ints_attribute("strides", [conv.stride] * dimensions),
        _ints_attribute("pads", [conv.kernel // 2] * (2 * dimensions)),
        _int_attribute("group", conv.out_channels if conv.depthwise else 1),
    ]
    if conv.relu:
        attributes.append(_string_attribute("activation", "Relu"))
        node = _node("FusedConv", [source, weight, bias], target, attributes, MICROSOFT)
    else:
        node = _node("Conv", [source, weight, bias], target, attributes)
    graph += _message(1, node)
    graph += _message(5, _tensor(weight, folded.weight))
    graph += _message(5, _tensor(bias, folded.bias))
    return target


def _node(
    operator: str, inputs: Iterable[str], output: str, attributes: Iterable[bytes] = (), domain: str = ""
) -> bytes:
    encoded = b"".join(_text(1, name) for name in inputs) + _text(2, output) + _text(4, operator)
    return encoded + b"".join(_message(5, attribute) for attribute in attributes) + _text(7, domain)


def _tensor(name: str, array: npt.NDArray[np.float32]) -> bytes:
    dims = b"".join(_number(1, extent) for extent in array.shape)
    return dims + _number(2, _FLOAT32) + _text(8, name) + _message(9, array.astype("<f4", copy=False).tobytes())


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
    while value > 0x7F:
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
