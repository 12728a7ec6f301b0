"""The search space as data: what a recipe declares and a manifest carries."""

from __future__ import annotations

from typing import Literal

import msgspec

from adaspring.errors import SpaceError
from adaspring.space.operators import OPERATORS

Precision = Literal["float32", "int8"]

#: Channel counts are rounded to a multiple of this: kernels on ARM and x86 work
#: on blocks of eight channels, so a width in between costs as much as the next one.
CHANNEL_MULTIPLE = 8


class SlotSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One place in the backbone where a choice is made.

    Attributes:
        width: Output channels at ratio 1.
        kernel: Extent of the convolution along every spatial axis; odd.
        stride: Step of the convolution along every spatial axis.
        operators: Names of the operators to choose from (see `OPERATORS`).
        ratios: Width ratios in (0, 1] to choose from.
        skippable: Whether the slot may be left out (depth scaling). A skip is an
            identity, so only a slot of stride 1 may be skippable.
    """

    width: int
    kernel: int = 3
    stride: int = 1
    operators: tuple[str, ...] = ("conv",)
    ratios: tuple[float, ...] = (1.0,)
    skippable: bool = False


class SpaceSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A backbone and what may be chosen in it.

    Attributes:
        input_channels: Channels of the network's input.
        input_size: Spatial extent: ``(length,)`` in 1-D, ``(height, width)`` in 2-D.
        outputs: Number of classes.
        slots: The slots, from input to output.
        precisions: Precisions that a whole subnet may take.
    """

    input_channels: int
    input_size: tuple[int, ...]
    outputs: int
    slots: tuple[SlotSpec, ...]
    precisions: tuple[Precision, ...] = ("float32",)


def validate(spec: SpaceSpec) -> None:
    """Refuse a space that cannot exist.

    Raises:
        SpaceError: With the slot, the key and what it must be.
    """
    if len(spec.input_size) not in {1, 2} or min(spec.input_size, default=0) < 1:
        raise SpaceError(f"input_size must be [length] or [height, width], all positive; it is {list(spec.input_size)}")
    if spec.input_channels < 1 or spec.outputs < 1:
        raise SpaceError(
            f"input_channels and outputs must be positive; they are {spec.input_channels} and {spec.outputs}"
        )
    if not spec.slots:
        raise SpaceError("a space needs at least one slot")
    if not spec.precisions or len(set(spec.precisions)) != len(spec.precisions):
        raise SpaceError(f"precisions must name at least one, none twice; they are {list(spec.precisions)}")
    for index, slot in enumerate(spec.slots):
        _validate_slot(index, slot)


def _validate_slot(index: int, slot: SlotSpec) -> None:
    where = f"slot {index}"
    unknown = [name for name in slot.operators if name not in OPERATORS]
    if unknown or not slot.operators or len(set(slot.operators)) != len(slot.operators):
        raise SpaceError(
            f"{where}: operators must be some of {', '.join(sorted(OPERATORS))}, none twice; "
            f"they are {list(slot.operators)}"
        )
    if slot.width < CHANNEL_MULTIPLE:
        raise SpaceError(f"{where}: width must be at least {CHANNEL_MULTIPLE}; it is {slot.width}")
    if slot.kernel < 1 or slot.kernel % 2 == 0:
        raise SpaceError(f"{where}: kernel must be odd and positive; it is {slot.kernel}")
    if slot.stride < 1:
        raise SpaceError(f"{where}: stride must be positive; it is {slot.stride}")
    if not slot.ratios or not all(0.0 < ratio <= 1.0 for ratio in slot.ratios):
        raise SpaceError(f"{where}: ratios must lie in (0, 1]; they are {list(slot.ratios)}")
    if slot.skippable and slot.stride != 1:
        raise SpaceError(f"{where}: a skip is an identity, so a slot of stride {slot.stride} cannot be skippable")
    if slot.skippable and index == 0:
        raise SpaceError("slot 0: the first slot turns input into features and cannot be skippable")
