"""A subnet in float32 as an ONNX graph."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from adaspring.engine.assemble import Assembled
from adaspring.engine.onnx.proto import INPUT, MICROSOFT, OUTPUT, Attribute, Node, model
from adaspring.space import Conv, Layer, run_block


def encode(assembled: Assembled, input_shape: tuple[int, ...], outputs: int) -> bytes:
    """Serialise a subnet.

    A convolution is written as one fused node with the ReLU and, at the end of a residual
    block, the sum behind it, which is what the optimiser would make of them: the session
    can then be built with optimisation off, in about half the time.

    Args:
        assembled: The subnet.
        input_shape: Shape of one sample, without the batch axis.
        outputs: Number of logits.
    """
    writer = _Writer()
    source = INPUT
    for block in assembled.blocks:
        source = run_block(block, source, writer)
    nodes = [
        *writer.nodes,
        Node("GlobalAveragePool", (source,), "pooled"),
        Node("Flatten", ("pooled",), "features"),
        Node("Gemm", ("features", "head.w", "head.b"), OUTPUT, (("transB", 1),)),
    ]
    tensors = [("head.w", assembled.head_weight), ("head.b", assembled.head_bias)]
    for name, folded in assembled.layers.items():
        tensors += [(f"{name}.w", folded.weight), (f"{name}.b", folded.bias)]
    return model(nodes, tensors, input_shape, outputs)


class _Writer:
    """Writes down the operations of blocks; a tensor is its name."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []

    def convolve(self, layer: Layer, x: str) -> str:
        self.nodes.append(_convolution(layer, x))
        return layer.name

    def concatenate(self, parts: list[str]) -> str:
        return self._append("Concat", tuple(parts), axis=1)

    def add(self, x: str, shortcut: str) -> str:
        last = self.nodes[-1]
        if last.operator == "Conv" and last.output == x:
            activation: tuple[str, Attribute] = ("activation", "Relu")
            self.nodes[-1] = replace(
                last,
                operator="FusedConv",
                inputs=(*last.inputs, shortcut),
                attributes=(*last.attributes, activation),
                domain=MICROSOFT,
            )
            return x
        return self._append("Relu", (self._append("Add", (x, shortcut)),))

    def _append(self, operator: str, inputs: tuple[str, ...], **attributes: Attribute) -> str:
        output = f"{operator} {len(self.nodes)}"
        self.nodes.append(Node(operator, inputs, output, tuple(attributes.items())))
        return output


def geometry(conv: Conv) -> dict[str, Attribute]:
    """The attributes of a convolution, whatever it computes in."""
    return {
        "kernel_shape": conv.kernel,
        "strides": conv.stride,
        "pads": tuple(extent // 2 for extent in conv.kernel) * 2,
        "group": conv.out_channels if conv.depthwise else 1,
    }


@lru_cache(maxsize=4096)
def _convolution(layer: Layer, source: str) -> Node:
    conv = layer.conv
    attributes = geometry(conv)
    inputs = (source, f"{layer.name}.w", f"{layer.name}.b")
    if conv.relu:
        attributes["activation"] = "Relu"
        return Node("FusedConv", inputs, layer.name, tuple(attributes.items()), MICROSOFT)
    return Node("Conv", inputs, layer.name, tuple(attributes.items()))
