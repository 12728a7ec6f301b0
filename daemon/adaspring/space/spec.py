"""The search space as data: what a recipe declares and a manifest carries."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from adaspring.errors import SpaceError
from adaspring.space.operators import OPERATORS

Precision = Literal["float32", "int8"]

Shortcut = Literal["none", "identity", "projection"]

#: Width ratios by operator; the order is that of the choices.
Group: TypeAlias = dict[str, tuple[float, ...]]

#: Channel counts are rounded to a multiple of this: kernels on ARM and x86 work
#: on blocks of eight channels, so a width in between costs as much as the next one.
CHANNEL_MULTIPLE = 8


class SlotSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One place in the backbone where a choice is made.

    A slot with a shortcut is a residual block: its operator twice, and a ReLU behind the
    sum. An identity holds the running width, which the slot that began the stage has
    set; its ratios scale the channels between the two. A projection begins a stage: its
    ratios scale the output as well.

    Attributes:
        width: Output channels at ratio 1; those inside, where the shortcut is an identity.
        kernel: Extent of the convolution along every spatial axis; odd.
        stride: Step of the convolution along every spatial axis.
        operators: Names of the operators to choose from (see `OPERATORS`).
        ratios: Width ratios in (0, 1] to choose from.
        skippable: Whether the slot may be left out (depth scaling). A skip is an
            identity, so only a slot of stride 1 may be skippable.
        shortcut: What is added to its output: nothing, its input, or its input behind a
            1x1 convolution, which may change width and stride.
        group: Name of a group of the space that stands in for `operators` and `ratios`.
    """

    width: int
    kernel: int = 3
    stride: int = 1
    operators: tuple[str, ...] = ("conv",)
    ratios: tuple[float, ...] = (1.0,)
    skippable: bool = False
    shortcut: Shortcut = "none"
    group: str | None = None


class SpaceSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A backbone and what may be chosen in it.

    Attributes:
        input_channels: Channels of the network's input.
        input_size: Spatial extent: ``(length,)`` in 1-D, ``(height, width)`` in 2-D.
        outputs: Number of classes.
        slots: The slots, from input to output.
        precisions: Precisions that a whole subnet may take.
        groups: Elite groups: the operators that slots may name together, each with the
            ratios that pay for it.
    """

    input_channels: int
    input_size: tuple[int, ...]
    outputs: int
    slots: tuple[SlotSpec, ...]
    precisions: tuple[Precision, ...] = ("float32",)
    groups: dict[str, Group] = {}

    def offered(self, slot: SlotSpec) -> Group:
        """What one of the slots offers, a skip left out."""
        if slot.group is not None:
            return self.groups[slot.group]
        return dict.fromkeys(slot.operators, slot.ratios)


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
    for name, group in spec.groups.items():
        _validate_offers(f"group {name!r}", group, dimensions=len(spec.input_size))
    for index, slot in enumerate(spec.slots):
        _validate_slot(spec, index, slot)


def _validate_offers(where: str, offered: Group, *, dimensions: int) -> None:
    known = sorted(name for name, operator in OPERATORS.items() if dimensions in operator.dimensions)
    if not offered or not set(offered) <= set(known):
        raise SpaceError(
            f"{where}: operators must be some of {', '.join(known)} with {dimensions}-D input; "
            f"they are {', '.join(offered) or 'none'}"
        )
    for name, ratios in offered.items():
        if not ratios or not all(0.0 < ratio <= 1.0 for ratio in ratios):
            raise SpaceError(f"{where}: ratios must lie in (0, 1]; those of {name} are {list(ratios)}")


def _validate_group(where: str, spec: SpaceSpec, slot: SlotSpec) -> None:
    if slot.group is None:
        if len(set(slot.operators)) != len(slot.operators):
            raise SpaceError(f"{where}: operators must be named once each; they are {', '.join(slot.operators)}")
    elif slot.group not in spec.groups:
        raise SpaceError(f"{where}: group {slot.group!r} is not in groups; they are {', '.join(spec.groups) or 'none'}")
    elif slot.operators != _PLAIN.operators or slot.ratios != _PLAIN.ratios:
        raise SpaceError(f"{where}: a slot with a group takes operators and ratios from it; leave its own out")


def _validate_slot(spec: SpaceSpec, index: int, slot: SlotSpec) -> None:
    where = f"slot {index}"
    _validate_group(where, spec, slot)
    _validate_offers(where, spec.offered(slot), dimensions=len(spec.input_size))
    if slot.width < CHANNEL_MULTIPLE:
        raise SpaceError(f"{where}: width must be at least {CHANNEL_MULTIPLE}; it is {slot.width}")
    if slot.kernel < 1 or slot.kernel % 2 == 0:
        raise SpaceError(f"{where}: kernel must be odd and positive; it is {slot.kernel}")
    if slot.stride < 1:
        raise SpaceError(f"{where}: stride must be positive; it is {slot.stride}")
    if slot.skippable and slot.stride != 1:
        raise SpaceError(f"{where}: a skip is an identity, so a slot of stride {slot.stride} cannot be skippable")
    if slot.shortcut == "identity" and slot.stride != 1:
        raise SpaceError(f"{where}: stride {slot.stride} needs the shortcut 'projection', not 'identity'")
    if index == 0 and (slot.skippable or slot.shortcut == "identity"):
        raise SpaceError(
            "slot 0: the first slot turns input into features: it cannot be skippable nor have an identity as shortcut"
        )


#: What a slot holds that names neither operators nor ratios.
_PLAIN = SlotSpec(width=CHANNEL_MULTIPLE)
