"""Genome -> the primitive convolutions of its subnet, with names, sizes and wiring.

A subnet is a chain of *blocks*, one for each slot that is not skipped, and `run_block`
is the one place that knows how a block is wired. Supernet, engines and encoders hand it
their own arithmetic, so a subnet means the same to each of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod
from typing import Protocol, TypeVar

from adaspring.space.operators import OPERATORS, Conv, Extent, Steps
from adaspring.space.space import Genome, SearchSpace

#: Name of the classifier's tensors: ``head.weight`` and ``head.bias``.
HEAD = "head"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Layer:
    """One primitive convolution at its place in a subnet.

    Attributes:
        name: Prefix of its tensors in the bundle, for example ``"slots.3.dwsep.pointwise"``.
        slot: Index of the slot that it belongs to.
        conv: What it computes, at the widths of this subnet.
        in_size: Spatial extent of its input.
        out_size: Spatial extent of its output.
    """

    name: str
    slot: int
    conv: Conv
    in_size: Extent
    out_size: Extent

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Shape of the weight: (out, in or 1, kernel...)."""
        inner = 1 if self.conv.depthwise else self.conv.in_channels
        return (self.conv.out_channels, inner, *self.conv.kernel)

    @property
    def channels(self) -> slice:
        """Its output channels among those stored."""
        return slice(self.conv.first_channel, self.conv.first_channel + self.conv.out_channels)

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one sample."""
        return prod(self.weight_shape) * prod(self.out_size)

    @property
    def parameters(self) -> int:
        """Weights and folded biases."""
        return prod(self.weight_shape) + self.conv.out_channels

    @property
    def in_elements(self) -> int:
        """Elements of its input."""
        return self.conv.in_channels * prod(self.in_size)

    @property
    def out_elements(self) -> int:
        """Elements of its output."""
        return self.conv.out_channels * prod(self.out_size)


@dataclass(frozen=True, slots=True)
class Block:
    """A slot of a subnet: a chain of steps, and the shortcut around them.

    Attributes:
        name: Prefix of the names of its layers, a projection's aside: ``"slots.3.dwsep"``.
        slot: Index of the slot.
        steps: The layers of a step run side by side, and their outputs are concatenated.
        residual: Whether what goes in is added to what comes out, a ReLU behind the sum.
        projection: What the shortcut does to it first; None for an identity.
    """

    name: str
    slot: int
    steps: tuple[tuple[Layer, ...], ...]
    residual: bool = False
    projection: Layer | None = None

    @property
    def layers(self) -> tuple[Layer, ...]:
        """All convolutions, in the order in which they run."""
        first = () if self.projection is None else (self.projection,)
        return (*first, *(layer for step in self.steps for layer in step))

    @property
    def out_channels(self) -> int:
        """Channels of its output."""
        return sum(layer.conv.out_channels for layer in self.steps[-1])

    @property
    def out_elements(self) -> int:
        """Elements of its output."""
        return sum(layer.out_elements for layer in self.steps[-1])

    @property
    def peak_elements(self) -> int:
        """Most elements alive at one time: inputs, outputs, finished branches and a waiting shortcut."""
        return max(self._alive())

    @property
    def traffic_elements(self) -> int:
        """Elements read and written by all its operations."""
        moved = sum(layer.in_elements + layer.out_elements for layer in self.layers)
        merged = sum(2 * _written(step) for step in self.steps if len(step) > 1)
        return moved + merged + 3 * self.out_elements * self.residual

    def _alive(self) -> Iterator[int]:
        source = self.steps[0][0].in_elements
        shortcut = source if self.residual else 0
        if self.projection is not None:
            shortcut = self.projection.out_elements
            yield source + shortcut
        for index, step in enumerate(self.steps):
            # What an identity passes around the chain is the input of the first step itself.
            waiting = 0 if index == 0 and self.projection is None else shortcut
            for count in range(len(step)):
                yield waiting + source + _written(step[: count + 1])
            source = _written(step)
            if len(step) > 1:
                yield shortcut + 2 * source
        # The sum needs no more: it is written over one of its terms.


def _written(step: Sequence[Layer]) -> int:
    return sum(layer.out_elements for layer in step)


class Arithmetic(Protocol[T]):
    """What a block is computed with, whatever stands for a tensor."""

    def convolve(self, layer: Layer, x: T) -> T:
        """A convolution, with the norm and the ReLU that the layer asks for."""

    def concatenate(self, parts: list[T]) -> T:
        """Tensors joined along their channels."""

    def add(self, x: T, shortcut: T) -> T:
        """The sum at the end of a residual block, and a ReLU."""


def run_block(block: Block, x: T, arithmetic: Arithmetic[T]) -> T:
    """The output of a block."""
    shortcut = x if block.projection is None else arithmetic.convolve(block.projection, x)
    for step in block.steps:
        parts = [arithmetic.convolve(layer, x) for layer in step]
        x = parts[0] if len(parts) == 1 else arithmetic.concatenate(parts)
    return arithmetic.add(x, shortcut) if block.residual else x


# An evolution lowers a subnet of blocks that it has mostly lowered before.
@lru_cache(maxsize=16384)
def lower_slot(space: SearchSpace, slot: int, operator: str, in_channels: int, width: int) -> Block:
    """The block of one slot.

    Args:
        space: The search space.
        slot: Index of the slot.
        operator: Its operator.
        in_channels: Running width at its input.
        width: Width of the choice: of the output, or inside an identity shortcut.
    """
    spec = space.spec.slots[slot]
    size = space.sizes[slot]
    kernel, stride, once = ((extent,) * len(size) for extent in (spec.kernel, spec.stride, 1))
    lower_operator = OPERATORS[operator].lower
    name = f"slots.{slot}.{operator}"
    if spec.shortcut == "none":
        return Block(name, slot, _place(slot, name, lower_operator(in_channels, width, kernel, stride), size))
    out_channels = in_channels if spec.shortcut == "identity" else width
    first = _place(slot, f"{name}.first", lower_operator(in_channels, width, kernel, stride), size)
    *chain, last = lower_operator(width, out_channels, kernel, once)
    # The ReLU of a residual block stands behind the sum.
    linear = tuple(replace(conv, relu=False) for conv in last)
    second = _place(slot, f"{name}.second", (*chain, linear), space.sizes[slot + 1])
    projection = None
    if spec.shortcut == "projection":
        conv = Conv("projection", in_channels, out_channels, once, stride, relu=False)
        ((projection,),) = _place(slot, f"slots.{slot}", ((conv,),), size)
    return Block(name, slot, (*first, *second), residual=True, projection=projection)


def _place(slot: int, name: str, steps: Steps, size: Extent) -> tuple[tuple[Layer, ...], ...]:
    placed = []
    for step in steps:
        out_size = tuple(-(-extent // along) for extent, along in zip(size, step[0].stride, strict=True))
        placed.append(tuple(Layer(f"{name}.{conv.part}", slot, conv, size, out_size) for conv in step))
        size = out_size
    return tuple(placed)


def lower(space: SearchSpace, genome: Genome) -> tuple[Block, ...]:
    """The blocks of a subnet in the order in which they run.

    Behind the last of them stand a global average pool and a linear classifier
    over the running width (`HEAD`).
    """
    blocks: list[Block] = []
    channels = space.spec.input_channels
    for slot, choice in enumerate(space.chosen(genome)):
        if choice.operator is None:
            continue
        blocks.append(lower_slot(space, slot, choice.operator, channels, choice.width))
        channels = blocks[-1].out_channels
    return tuple(blocks)


def lower_all(space: SearchSpace) -> tuple[Layer, ...]:
    """Every layer of the supernet as it is stored: at its greatest widths, from channel 0 on."""
    layers: dict[str, Layer] = {}
    for slot, spec in enumerate(space.spec.slots):
        widest = max_input_width(space, slot)
        for choice in space.choices[slot]:
            if choice.operator is not None:
                for layer in lower_slot(space, slot, choice.operator, widest, spec.width).layers:
                    stored = replace(layer.conv, out_channels=layer.channels.stop, first_channel=0)
                    layers.setdefault(layer.name, replace(layer, conv=stored))
    return tuple(layers.values())


def max_input_width(space: SearchSpace, slot: int) -> int:
    """The greatest running width that can reach a slot (or the head, at ``slot_count``)."""
    if slot == space.slot_count:
        return int(space.widths[space.final_widths].max())
    return int(space.widths[space.legal[slot].any(axis=1)].max())
