"""Genome -> the primitive convolutions of its subnet, with names and sizes.

Supernet, engines and cost model all run over this one list, so a subnet means
the same to each of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from adaspring.space.operators import OPERATORS, Conv
from adaspring.space.space import SKIP, Genome, SearchSpace

#: Name of the classifier's tensors: ``head.weight`` and ``head.bias``.
HEAD = "head"


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
    in_size: tuple[int, ...]
    out_size: tuple[int, ...]

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Shape of the weight: (out, in or 1, kernel...)."""
        inner = 1 if self.conv.depthwise else self.conv.in_channels
        return (self.conv.out_channels, inner, *(self.conv.kernel for _ in self.in_size))

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one sample."""
        return prod(self.weight_shape) * prod(self.out_size)

    @property
    def parameters(self) -> int:
        """Weights and folded biases."""
        return prod(self.weight_shape) + self.conv.out_channels

    @property
    def live_elements(self) -> int:
        """Elements of the tensors alive while it runs: its input and its output."""
        return self.conv.in_channels * prod(self.in_size) + self.conv.out_channels * prod(self.out_size)


def lower_slot(space: SearchSpace, slot: int, operator: str, in_channels: int, out_channels: int) -> Iterator[Layer]:
    """The layers of one slot, for one operator at given widths."""
    spec = space.spec.slots[slot]
    size = space.sizes[slot]
    for conv in OPERATORS[operator].lower(in_channels, out_channels, spec.kernel, spec.stride):
        out_size = tuple(-(-extent // conv.stride) for extent in size)
        yield Layer(f"slots.{slot}.{operator}.{conv.part}", slot, conv, size, out_size)
        size = out_size


def lower(space: SearchSpace, genome: Genome) -> tuple[Layer, ...]:
    """The convolutions of a subnet in the order in which they run.

    Behind the last of them stand a global average pool and a linear classifier
    over the running width (`HEAD`).
    """
    layers: list[Layer] = []
    channels = space.spec.input_channels
    for slot, choice in enumerate(space.chosen(genome)):
        if choice is SKIP or choice.operator is None:
            continue
        layers.extend(lower_slot(space, slot, choice.operator, channels, choice.width))
        channels = choice.width
    return tuple(layers)


def lower_all(space: SearchSpace) -> tuple[Layer, ...]:
    """Every layer of the supernet at its greatest widths: what must be allocated."""
    layers: list[Layer] = []
    for slot, spec in enumerate(space.spec.slots):
        widest = max_input_width(space, slot)
        for operator in spec.operators:
            layers.extend(lower_slot(space, slot, operator, widest, spec.width))
    return tuple(layers)


def max_input_width(space: SearchSpace, slot: int) -> int:
    """The greatest running width that can reach a slot (or the head, at ``slot_count``)."""
    if slot == space.slot_count:
        return int(space.widths[space.final_widths].max())
    return int(space.widths[space.legal[slot].any(axis=1)].max())
