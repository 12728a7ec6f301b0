"""Genome -> plain convolutions: slices of the shared weights, batch norm folded in.

Both engines start from what stands here, so they compute the same numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from adaspring.bundle import Bundle
from adaspring.errors import EngineError
from adaspring.space import HEAD, Genome, Layer, condition_rows, lower

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
        layers: Convolutions in the order in which they run; a global average pool follows.
        head_weight: Shape ``(outputs, channels)``.
        head_bias: Shape ``(outputs,)``.
    """

    layers: tuple[FoldedLayer, ...]
    head_weight: Array
    head_bias: Array

    @property
    def parameter_bytes(self) -> int:
        """Bytes of all weights and biases."""
        folded = sum(layer.weight.nbytes + layer.bias.nbytes for layer in self.layers)
        return folded + self.head_weight.nbytes + self.head_bias.nbytes


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
        self._weights = dict(bundle.weights)
        scale = np.asarray(bundle.manifest.input.scale, dtype=np.float32)
        for layer in self._input_layers():
            weight = self._tensor(f"{layer.name}.weight")
            along = (-1, 1) if layer.conv.depthwise else (1, -1)
            axes = (1,) * len(self.space.spec.input_size)
            self._weights[f"{layer.name}.weight"] = weight * scale.reshape(*along, *axes)

    def _input_layers(self) -> list[Layer]:
        """The layers that read the network's input: the first of each operator of slot 0."""
        first: dict[str | None, Layer] = {}
        for index, choice in enumerate(self.space.choices[0]):
            genome = self.space.full()
            genome[0] = index
            first.setdefault(choice.operator, lower(self.space, genome)[0])
        return list(first.values())

    def assemble(self, genome: Genome) -> Assembled:
        """The arrays of a subnet.

        Raises:
            EngineError: If a tensor is missing from the bundle.
        """
        layers = lower(self.space, genome)
        rows = {slot: condition_rows(self.space, genome, slot) for slot in {layer.slot for layer in layers}}
        folded = tuple(self._fold(layer, rows[layer.slot]) for layer in layers)
        channels = layers[-1].conv.out_channels
        return Assembled(
            layers=folded,
            head_weight=np.ascontiguousarray(self._tensor(f"{HEAD}.weight")[:, :channels]),
            head_bias=self._tensor(f"{HEAD}.bias"),
        )

    def _fold(self, layer: Layer, rows: npt.NDArray[np.intp]) -> FoldedLayer:
        conv = layer.conv
        weight = self._tensor(f"{layer.name}.weight")[: conv.out_channels]
        if not conv.depthwise:
            weight = weight[:, : conv.in_channels]
        if not conv.norm:
            bias = self._tensor(f"{layer.name}.bias")[: conv.out_channels]
            return FoldedLayer(layer, np.ascontiguousarray(weight), np.ascontiguousarray(bias))
        mean = self._tensor(f"{layer.name}.mean")[rows, : conv.out_channels].sum(axis=0)
        log_std = self._tensor(f"{layer.name}.log_std")[rows, : conv.out_channels].sum(axis=0)
        gain = self._tensor(f"{layer.name}.gamma")[: conv.out_channels] * np.exp(-log_std)
        bias = self._tensor(f"{layer.name}.beta")[: conv.out_channels] - mean * gain
        return FoldedLayer(layer, weight * gain.reshape(-1, *(1,) * (weight.ndim - 1)), bias)

    def _tensor(self, name: str) -> Array:
        try:
            return self._weights[name]
        except KeyError:
            raise EngineError(f"the bundle has no tensor {name!r}: it was made for another space") from None
