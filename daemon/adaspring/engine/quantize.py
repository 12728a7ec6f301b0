"""Genome -> int8: codes sliced from weights that were quantised once, batch norm folded into their scales.

A tensor of activations is unsigned: ``real = scale * (code - zero)``. Behind a ReLU the
zero point is 0, the floor of the ReLU, which the saturation of the codes then computes.
Weights are symmetric, with a scale for each output channel. A batch norm multiplies an
output channel by its gain, so it changes that scale and the bias, never a code.

Ranges of activations come with the bundle, as rows that the genome selects, like the
statistics of the batch norms (see `space.conditions`): ``<tensor>.range`` holds the
logarithms of the ceiling and, where no ReLU stands before it, of the floor below zero.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import exp

import numpy as np
import numpy.typing as npt

from adaspring.bundle import Bundle
from adaspring.engine.assemble import Array, Tensors
from adaspring.space import HEAD, Block, Conditions, Genome, Layer, SearchSpace, condition_rows, lower, lower_all

#: Greatest code of a weight and of an activation.
WEIGHT_CODES = 127
CODES = 255
#: Greatest code of a bias: it leaves a convolution's own sum as much room again in 32 bits.
BIAS_CODES = 2**30

#: Name of the range of the network's scaled input.
INPUT_RANGE = "input.range"
#: Behind the name of the last block: its output, pooled. Means are much smaller than what they
#: are taken of, so they have a grid of their own.
POOLED = "pooled"


@dataclass(frozen=True, slots=True)
class Grid:
    """Where the codes of an unsigned tensor lie: ``real = scale * (code - zero)``."""

    scale: float
    zero: int

    @staticmethod
    def of(logarithms: Array) -> Grid:
        """The grid from floor to ceiling of a range, shape ``(1,)`` or ``(2,)``; zero is always a code."""
        ceiling, floor = (*(exp(logarithm) for logarithm in logarithms.tolist()), 0.0)[:2]
        scale = (ceiling + floor) / CODES
        return Grid(scale, round(floor / scale))


@dataclass(frozen=True, slots=True)
class QuantizedLayer:
    """A convolution in int8.

    Attributes:
        layer: Its place in the subnet.
        codes: Of the weight, int8, shape ``layer.weight_shape``.
        scale: Of the codes, batch norm folded, shape ``(out,)``.
        bias: In real units, shape ``(out,)``.
        grid: Of its output.
    """

    layer: Layer
    codes: npt.NDArray[np.int8]
    scale: Array
    bias: Array
    grid: Grid

    @property
    def weight(self) -> Array:
        """The weight that the codes stand for, batch norm folded."""
        weight: Array = self.codes * self.scale.reshape(-1, *(1,) * (self.codes.ndim - 1))
        return weight

    def behind(self, source: Grid) -> tuple[Array, npt.NDArray[np.int32]]:
        """Scales and codes of the bias for an input on some grid.

        The scale of a channel whose gain is next to nothing is raised until the codes of
        its bias fit into 32 bits.
        """
        scale = np.maximum(self.scale, np.abs(self.bias) / (source.scale * BIAS_CODES)).astype(np.float32)
        return scale, np.rint(self.bias / (scale * source.scale)).astype(np.int32)


@dataclass(frozen=True, slots=True)
class QuantizedSubnet:
    """A subnet in int8; its classifier stays in float32.

    Attributes:
        blocks: How the layers are wired.
        layers: The convolutions of all blocks by their names.
        sums: Grid of the output of each residual block, by its name.
        channel_scale: Factor of each input channel, applied before quantisation.
        input: Grid of the scaled input.
        pooled: Grid of what the classifier reads.
        head_weight: Shape ``(outputs, channels)``.
        head_bias: Shape ``(outputs,)``.
    """

    blocks: tuple[Block, ...]
    layers: dict[str, QuantizedLayer]
    sums: dict[str, Grid]
    channel_scale: Array
    input: Grid
    pooled: Grid
    head_weight: Array
    head_bias: Array

    def grid_behind(self, block: Block) -> Grid:
        """Grid of the output of a block."""
        return self.sums[block.name] if block.residual else self.layers[block.steps[-1][-1].name].grid


class Quantizer:
    """Assembles the int8 subnets of one bundle."""

    def __init__(self, bundle: Bundle) -> None:
        """Quantise the weights of a bundle.

        Raises:
            EngineError: If a tensor is missing from the bundle.
        """
        self.space: SearchSpace = bundle.space
        self._tensors = Tensors(bundle.weights)
        self._channel_scale = np.asarray(bundle.manifest.input.scale, dtype=np.float32)
        self._codes: dict[str, tuple[npt.NDArray[np.int8], Array]] = {}
        for layer in lower_all(self.space):
            weight = self._tensors[f"{layer.name}.weight"]
            along = (-1, *(1,) * (weight.ndim - 1))
            if layer.conv.norm:
                # A scale has no sign, so the codes take that of the norm's gain.
                weight = weight * np.where(self._tensors[f"{layer.name}.gamma"] < 0, -1, 1).reshape(along)
            greatest = np.abs(weight).max(axis=tuple(range(1, weight.ndim)))
            scale = np.maximum(greatest / WEIGHT_CODES, np.finfo(np.float32).tiny).astype(np.float32)
            self._codes[layer.name] = np.rint(weight / scale.reshape(along)).astype(np.int8), scale

    def assemble(self, genome: Genome) -> QuantizedSubnet:
        """The arrays of a subnet.

        Raises:
            EngineError: If the bundle holds no activation ranges, or lacks another tensor.
        """
        blocks = lower(self.space, genome)
        layers: dict[str, QuantizedLayer] = {}
        sums: dict[str, Grid] = {}
        for block in blocks:
            conditions = condition_rows(self.space, genome, block.slot)
            if block.projection is not None:
                layers[block.projection.name] = self._layer(block.projection, conditions)
            for step in block.steps:
                quantized = [self._layer(layer, conditions) for layer in step]
                if len(quantized) > 1:
                    # Branches that are concatenated share a grid, so that merging them is a copy.
                    widest = max((layer.grid for layer in quantized), key=lambda grid: grid.scale)
                    quantized = [replace(layer, grid=widest) for layer in quantized]
                layers.update((layer.layer.name, layer) for layer in quantized)
            if block.residual:
                sums[block.name] = self._grid(block.name, conditions)
        last = blocks[-1]
        return QuantizedSubnet(
            blocks=blocks,
            layers=layers,
            sums=sums,
            channel_scale=self._channel_scale,
            input=Grid.of(self._tensors[INPUT_RANGE]),
            pooled=self._grid(f"{last.name}.{POOLED}", condition_rows(self.space, genome, last.slot)),
            head_weight=np.ascontiguousarray(self._tensors[f"{HEAD}.weight"][:, : last.out_channels]),
            head_bias=self._tensors[f"{HEAD}.bias"],
        )

    def _layer(self, layer: Layer, conditions: Conditions) -> QuantizedLayer:
        conv, channels = layer.conv, layer.channels
        whole, scale = self._codes[layer.name]
        codes = whole[channels]
        if not conv.depthwise:
            codes = codes[:, : conv.in_channels]
        gain, bias = self._tensors.gain_and_bias(layer, conditions)
        grid = self._grid(layer.name, conditions)
        return QuantizedLayer(layer, np.ascontiguousarray(codes), scale[channels] * np.abs(gain), bias, grid)

    def _grid(self, name: str, conditions: Conditions) -> Grid:
        rows = self._tensors.selected(f"{name}.range", conditions)
        return Grid.of(self._tensors[f"{name}.range"][rows].sum(axis=0))
