"""A subnet in int8 as an ONNX graph.

The operations are those that onnxruntime's optimiser makes of quantise and dequantise
pairs, written at once and in the layout that its int8 kernels compute in (channels
last): no convolution can be left in float32, and the session is built with
optimisation off.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from adaspring.engine.onnx.graph import geometry
from adaspring.engine.onnx.proto import INPUT, MICROSOFT, OUTPUT, Attribute, Node, model
from adaspring.engine.quantize import Grid, QuantizedSubnet
from adaspring.space import Layer, run_block

#: A tensor: its name and the grid of its codes.
Codes: TypeAlias = tuple[str, Grid]

_WEIGHT_ZERO = "weight.zero"


def encode_int8(subnet: QuantizedSubnet, input_shape: tuple[int, ...], outputs: int) -> bytes:
    """Serialise a subnet in int8; for the arguments see `graph.encode`."""
    writer = _Writer(subnet)
    source = writer.quantize_input(len(input_shape) - 1)
    for block in subnet.blocks:
        writer.behind = subnet.grid_behind(block)
        source = run_block(block, source, writer)
    writer.classify(source, subnet)
    scalars = ((name, kind, value) for name, (kind, value) in writer.scalars.items())
    return model(writer.nodes, writer.tensors.items(), input_shape, outputs, scalars)


class _Writer:
    """Writes down the operations of blocks.

    Attributes:
        nodes: What was written so far.
        tensors: The constants that it needs.
        scalars: Those that are one number each: kind and value by name.
        behind: Grid of the output of the block in hand.
    """

    def __init__(self, subnet: QuantizedSubnet) -> None:
        self.nodes: list[Node] = []
        self.tensors: dict[str, npt.NDArray[Any]] = {}
        self.scalars: dict[str, tuple[str, float]] = {_WEIGHT_ZERO: ("i1", 0)}
        self.behind = subnet.input
        self._subnet = subnet

    def quantize_input(self, axes: int) -> Codes:
        grid, factors = self._subnet.input, self._subnet.channel_scale
        # Each channel is scaled and rounded in one operation, before channels come last: onnxruntime
        # takes the rows of a channel in one call each, and would take every element by itself.
        self.tensors["input.s"] = (grid.scale / factors).astype(np.float32)
        self.tensors["input.z"] = np.full(len(factors), grid.zero, dtype=np.uint8)
        self._append("QuantizeLinear", (INPUT, "input.s", "input.z"), "quantized", axis=1)
        self._append("Transpose", ("quantized",), "input", perm=(0, *range(2, axes + 2), 1))
        return "input", grid

    def convolve(self, layer: Layer, x: Codes) -> Codes:
        quantized = self._subnet.layers[layer.name]
        source, target = x[1], (layer.name, quantized.grid)
        scale, bias = quantized.behind(source)
        names = _names(layer.name)
        self.tensors[names[0]], self.tensors[names[1]], self.tensors[names[2]] = quantized.codes, scale, bias
        weight, scales, biases = names
        inputs = (*self._quantified(x), weight, scales, _WEIGHT_ZERO, *self._grid(target), biases)
        self.nodes.append(_convolution(layer, inputs))
        return target

    def concatenate(self, parts: list[Codes]) -> Codes:
        grid = parts[0][1]
        inputs = tuple(name for part in parts for name in self._quantified(part))
        axis = len(self._subnet.blocks[0].steps[0][0].in_size) + 1
        merged = f"{parts[0][0]}.merged", grid
        self._append("QLinearConcat", (*self._grid(merged), *inputs), merged[0], domain=MICROSOFT, axis=axis)
        return merged

    def add(self, x: Codes, shortcut: Codes) -> Codes:
        total = f"{x[0]}.sum", self.behind
        inputs = (*self._quantified(x), *self._quantified(shortcut), *self._grid(total))
        self._append("QLinearAdd", inputs, total[0], domain=MICROSOFT)
        return total

    def classify(self, source: Codes, subnet: QuantizedSubnet) -> None:
        grid = self._grid(("pooled", subnet.pooled))
        inputs = (*self._quantified(source), *grid)
        self._append("QLinearGlobalAveragePool", inputs, "pooled", domain=MICROSOFT, channels_last=1)
        self._append("DequantizeLinear", ("pooled", *grid), "dequantized")
        self._append("Flatten", ("dequantized",), "features")
        self.tensors["head.w"], self.tensors["head.b"] = subnet.head_weight, subnet.head_bias
        self._append("Gemm", ("features", "head.w", "head.b"), OUTPUT, transB=1)

    def _quantified(self, tensor: Codes) -> tuple[str, str, str]:
        return (tensor[0], *self._grid(tensor))

    def _grid(self, tensor: Codes) -> tuple[str, str]:
        """Names of the constants of a tensor's grid, such that nodes recur from subnet to subnet."""
        name, grid = tensor
        # Behind a ReLU zero is 0, and one constant does for all.
        scale, zero = f"{name}.scale", f"zero.{grid.zero}"
        self.scalars[scale], self.scalars[zero] = ("f4", grid.scale), ("u1", grid.zero)
        return scale, zero

    def _append(
        self, operator: str, inputs: tuple[str, ...], output: str, *, domain: str = "", **attributes: Attribute
    ) -> None:
        self.nodes.append(Node(operator, inputs, output, tuple(attributes.items()), domain))


def _names(layer: str) -> tuple[str, str, str]:
    return f"{layer}.w", f"{layer}.s", f"{layer}.b"


@lru_cache(maxsize=4096)
def _convolution(layer: Layer, inputs: tuple[str, ...]) -> Node:
    attributes = geometry(layer.conv) | {"channels_last": 1}
    return Node("QLinearConv", inputs, layer.name, tuple(attributes.items()), MICROSOFT)
