"""The rivals of a backbone, as search spaces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec

from adaspring.errors import RecipeError
from adaspring.space import OPERATORS, Genome, SearchSpace, SlotSpec, SpaceSpec

#: Width ratio of the rivals that are nothing but narrower.
NARROW = 0.5

Kind = Literal["hand-crafted", "uncompressed", "alone", "on-demand"]


@dataclass(frozen=True, slots=True)
class Rival:
    """One rival.

    Attributes:
        name: Names its folder.
        title: For a person.
        kind: What it stands for.
        space: Its space; one subnet, or many for on-demand selection.
        start: How its training starts: from random weights, or from the trained uncompressed
            network, factorised (``"svd"``) or cut to the channels of greatest magnitude (``"magnitude"``).
    """

    name: str
    title: str
    kind: Kind
    space: SpaceSpec
    start: Literal["random", "svd", "magnitude"] = "random"


def rivals(spec: SpaceSpec) -> tuple[Rival, ...]:
    """The rivals of a backbone; the uncompressed network is the first, for others start from it."""
    return (
        Rival("uncompressed", "uncompressed backbone", "uncompressed", uniform(spec, "conv", 1.0)),
        Rival("fire", "Fire (SqueezeNet style)", "hand-crafted", uniform(spec, "fire", 1.0)),
        Rival("inverted", "inverted residuals (MobileNetV2 style)", "hand-crafted", uniform(spec, "inverted", 1.0)),
        Rival("svd", "SVD factorisation", "hand-crafted", uniform(spec, "lowrank", 1.0), start="svd"),
        Rival("pruned", "magnitude-pruned channels", "hand-crafted", uniform(spec, "conv", NARROW), start="magnitude"),
        Rival("narrow", "uniform width scaling", "hand-crafted", uniform(spec, "conv", NARROW)),
        Rival("width-depth", "width and depth on demand (once-for-all style)", "on-demand", width_and_depth(spec)),
    )


def alone(space: SearchSpace, genome: Genome) -> Rival:
    """A subnet to be trained by itself: its choices and no others."""
    slots = []
    for slot, choice in enumerate(space.chosen(genome)):
        if choice.operator is not None:
            spec = space.spec.slots[slot]
            ratio = choice.width / spec.width
            slots.append(_only(spec, choice.operator, min(1.0, ratio)))
    name = space.format(genome).partition(":")[2]
    return Rival(f"alone-{name}", f"trained alone: {name}", "alone", _with(space.spec, slots))


def uniform(spec: SpaceSpec, operator: str, ratio: float) -> SpaceSpec:
    """One operator and one width ratio in every slot but the stem, which stays a convolution and whole.

    Raises:
        RecipeError: If the operator does not exist for inputs of this kind.
    """
    if len(spec.input_size) not in OPERATORS[operator].dimensions:
        raise RecipeError(f"{operator} does not exist for {len(spec.input_size)}-D inputs")
    stem, *rest = spec.slots
    slots = [_only(stem, "conv", ratio if operator == "conv" else 1.0)]
    return _with(spec, [*slots, *(_only(slot, operator, ratio) for slot in rest)])


def width_and_depth(spec: SpaceSpec) -> SpaceSpec:
    """Convolutions alone, with widths and skips to choose from."""
    slots = []
    for slot in spec.slots:
        widths = spec.offered(slot).get("conv", (1.0,))
        slots.append(msgspec.structs.replace(slot, operators=("conv",), ratios=tuple(widths), group=None))
    return _with(spec, slots)


def _only(slot: SlotSpec, operator: str, ratio: float) -> SlotSpec:
    return msgspec.structs.replace(slot, operators=(operator,), ratios=(ratio,), group=None, skippable=False)


def _with(spec: SpaceSpec, slots: list[SlotSpec]) -> SpaceSpec:
    return msgspec.structs.replace(spec, slots=tuple(slots), groups={}, precisions=("float32",))
