"""Genome -> plain convolutions: slices of the shared weights, batch norm folded in.

Both engines start from what stands here, so they compute the same numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from adaspring.bundle import Bundle
from adaspring.errors import EngineError, SpaceError
from adaspring.space import HEAD, Block, Conditions, Genome, Layer, condition_rows, lower, lower_slot

Array = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class FoldedLayer:
    """A convolution ready to run: weight, bias, and the ReLU that `layer` asks for.

    Attributes:
        layer: Its place in the subnet.
        weight: Shape ``layer.weight_shape``, contiguous.
        bias: Shape ``(out,)``.
    """

    layer: Layer
    weight: Array
    bias: Array


@dataclass(frozen=True, slots=True)
class Assembled:
    """A subnet as arrays.

    Attributes:
        blocks: How they are wired; a global average pool follows.
        layers: The convolutions of all blocks by their names, in the order in which they run.
        head_weight: Shape ``(outputs, channels)``.
        head_bias: Shape ``(outputs,)``.
    """

    blocks: tuple[Block, ...]
    layers: dict[str, FoldedLayer]
    head_weight: Array
    head_bias: Array

    @property
    def parameter_bytes(self) -> int:
        """Bytes of all weights and biases."""
        folded = sum(layer.weight.nbytes + layer.bias.nbytes for layer in self.layers.values())
        return folded + self.head_weight.nbytes + self.head_bias.nbytes


class Tensors:
    """The tensors of a bundle by name, and what a batch norm folds to."""

    def __init__(self, weights: dict[str, Array]) -> None:
        """Take the weights of a bundle."""
        self._weights = weights

    def __getitem__(self, name: str) -> Array:
        """A tensor.

        Raises:
            EngineError: If it is missing.
        """
        try:
            return self._weights[name]
        except KeyError:
            raise EngineError(f"the bundle has no tensor {name!r}: it was made for another space") from None

    def selected(self, name: str, conditions: Conditions) -> npt.NDArray[np.intp]:
        """The rows of a table that a genome selects.

        Raises:
            EngineError: If the table is missing, or of another space.
        """
        try:
            return conditions.of(self[name])
        except SpaceError as error:
            raise EngineError(f"the bundle's tensor {name!r} does not fit its space: {error}") from error

    def gain_and_bias(self, layer: Layer, conditions: Conditions) -> tuple[Array, Array]:
        """What multiplies and what is added to each output channel of a layer, both of shape ``(out,)``.

        Args:
            layer: The layer.
            conditions: What the genome selects for it.
        """
        channels = layer.channels
        if not layer.conv.norm:
            return np.ones(layer.conv.out_channels, dtype=np.float32), self[f"{layer.name}.bias"][channels]
        means, log_stds = self[f"{layer.name}.mean"], self[f"{layer.name}.log_std"]
        rows = self.selected(f"{layer.name}.mean", conditions)
        mean = means[rows, channels].sum(axis=0)
        log_std = log_stds[rows, channels].sum(axis=0)
        gain = self[f"{layer.name}.gamma"][channels] * np.exp(-log_std)
        return gain, self[f"{layer.name}.beta"][channels] - mean * gain


class Assembler:
    """Assembles subnets of one bundle.

    Statistics of a batch norm are a sum of rows that the genome selects (see
    `space.conditions`): any subnet works at once, with no data and no retraining.
    """

    def __init__(self, bundle: Bundle) -> None:
        """Take the weights of a bundle, the channel scale of its input folded in.

        Raises:
            EngineError: If a tensor that the space needs is missing from the bundle.
        """
        self.space = bundle.space
        weights = dict(bundle.weights)
        self._tensors = Tensors(weights)
        scale = np.asarray(bundle.manifest.input.scale, dtype=np.float32)
        for layer in self._input_layers():
            weight = self._tensors[f"{layer.name}.weight"]
            along = (-1, 1) if layer.conv.depthwise else (1, -1)
            axes = (1,) * len(self.space.spec.input_size)
            weights[f"{layer.name}.weight"] = weight * scale.reshape(*along, *axes)

    def _input_layers(self) -> list[Layer]:
        """The layers that read the network's input: those that head a block of slot 0."""
        layers: dict[str, Layer] = {}
        for choice in self.space.choices[0]:
            if choice.operator is not None:
                block = lower_slot(self.space, 0, choice.operator, self.space.spec.input_channels, choice.width)
                heads = block.steps[0] if block.projection is None else (block.projection, *block.steps[0])
                layers.update((layer.name, layer) for layer in heads)
        return list(layers.values())

    def assemble(self, genome: Genome) -> Assembled:
        """The arrays of a subnet.

        Raises:
            EngineError: If a tensor is missing from the bundle.
        """
        blocks = lower(self.space, genome)
        layers: dict[str, FoldedLayer] = {}
        for block in blocks:
            conditions = condition_rows(self.space, genome, block.slot)
            layers.update((layer.name, self._fold(layer, conditions)) for layer in block.layers)
        return Assembled(
            blocks=blocks,
            layers=layers,
            head_weight=np.ascontiguousarray(self._tensors[f"{HEAD}.weight"][:, : blocks[-1].out_channels]),
            head_bias=self._tensors[f"{HEAD}.bias"],
        )

    def _fold(self, layer: Layer, conditions: Conditions) -> FoldedLayer:
        weight = self._tensors[f"{layer.name}.weight"][layer.channels]
        if not layer.conv.depthwise:
            weight = weight[:, : layer.conv.in_channels]
        gain, bias = self._tensors.gain_and_bias(layer, conditions)
        return FoldedLayer(layer, weight * gain.reshape(-1, *(1,) * (weight.ndim - 1)), bias)
