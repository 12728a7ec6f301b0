"""The trained backbone becomes the supernet: parameters transformed, so that subnets do not start from nothing.

Two steps. Channels are sorted by importance, so that a narrow slot keeps those that matter;
the full network computes what it did before. Then every operator of a slot is read off the
convolution that it stands for: factors of it by singular value decomposition, or the
nearest thing to them where a ReLU stands between the two.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import MappingProxyType

import torch
from torch import Tensor

from adaspring.space import HEAD, Block, SearchSpace, lower, lower_slot, max_input_width
from adaspring.workbench.factorise import over_axes, over_channels, over_inputs, per_channel
from adaspring.workbench.supernet import Weights

#: Shift of a norm before the ReLU inside an operator, in standard deviations. The convolution
#: that it stands for has no ReLU there, so most of what comes should pass.
PASSING = 1.0


@dataclass(slots=True)
class _Stream:
    """Channels that mean the same in every layer that writes or reads them.

    Attributes:
        writers: Layers whose outputs they are.
        readers: Layers whose inputs they are.
        fixed: Whether their order must stay, because a layer is no plain convolution or they are the input.
    """

    writers: list[str] = field(default_factory=list)
    readers: list[str] = field(default_factory=list)
    fixed: bool = False


@torch.no_grad()
def transformed(space: SearchSpace, trained: Weights) -> Weights:
    """A supernet out of a trained full network.

    Args:
        space: The search space.
        trained: Weights of the supernet, of which only those of the full network were trained.
    """
    weights = sorted_by_importance(space, trained)
    for slot, spec in enumerate(space.spec.slots):
        names = list(space.spec.offered(spec))
        if names[0] == "conv":
            for name in names[1:]:
                weights |= _read_off(space, weights, slot, name)
    return weights


def sorted_by_importance(space: SearchSpace, weights: Weights) -> Weights:
    """The same network with the channels of every slot in the order of their importance.

    A channel is as important as the absolute weights that read it sum to (Cai et al.,
    Once-for-All, ICLR 2020). Channels that a shortcut or a skip passes on keep one order in
    all slots that they pass.

    Args:
        space: The search space.
        weights: Of the supernet; only those of the full network are looked at and changed.
    """
    ordered = dict(weights)
    for stream in _streams(space):
        if stream.fixed:
            continue
        readers = [ordered[f"{name}.weight"] for name in stream.readers]
        importance = torch.stack([weight.abs().transpose(0, 1).flatten(1).sum(dim=1) for weight in readers]).sum(dim=0)
        order = importance.argsort(descending=True, stable=True)
        for name in stream.writers:
            for part in ("weight", "gamma", "beta"):
                ordered[f"{name}.{part}"] = ordered[f"{name}.{part}"][order].clone()
        for name in stream.readers:
            ordered[f"{name}.weight"] = ordered[f"{name}.weight"][:, order].clone()
    return ordered


def _streams(space: SearchSpace) -> list[_Stream]:
    stream = _Stream(fixed=True)
    streams = [stream]
    for block in lower(space, space.full()):
        spec = space.spec.slots[block.slot]
        before = stream
        holds = spec.shortcut == "identity" or (spec.skippable and spec.width == max_input_width(space, block.slot))
        if not holds:
            stream = _Stream()
            streams.append(stream)
        if block.projection is not None:
            before.readers.append(block.projection.name)
            stream.writers.append(block.projection.name)
        streams += _wire(block, before, stream)
    stream.readers.append(HEAD)
    return streams


def _wire(block: Block, before: _Stream, behind: _Stream) -> list[_Stream]:
    """Tell the streams of a block of its layers; returns those inside it."""
    names = [layer.name for step in block.steps for layer in step]
    plain = all(len(step) == 1 and step[0].conv.part == "full" for step in block.steps)
    if not plain:
        before.fixed = behind.fixed = True
        return []
    inside = [_Stream() for _ in names[1:]]
    for name, reads, writes in zip(names, [before, *inside], [*inside, behind], strict=True):
        reads.readers.append(name)
        writes.writers.append(name)
    return inside


def _read_off(space: SearchSpace, weights: Weights, slot: int, operator: str) -> Weights:
    """Weights of an operator of a slot, from those of its convolutions."""
    width = space.spec.slots[slot].width
    block = lower_slot(space, slot, operator, max_input_width(space, slot), width)
    found: Weights = {}
    parts: dict[str, Tensor] = {}
    for layer in (layer for step in block.steps for layer in step):
        prefix, _, part = layer.name.rpartition(".")
        source = prefix.replace(f".{operator}", ".conv", 1) + ".full"
        if part not in parts:
            # The first of a chain; behind it come those that the same convolution is taken apart into.
            parts = _PARTS[operator](weights[f"{source}.weight"], layer.conv.out_channels)
        stored = layer.channels.stop
        found[f"{layer.name}.weight"] = parts.pop(part)[:stored].clone()
        if part in _INSIDE:
            found[f"{layer.name}.beta"] = torch.full((stored,), PASSING)
        elif layer.conv.norm:
            for fact in ("gamma", "beta"):
                found[f"{layer.name}.{fact}"] = weights[f"{source}.{fact}"][:stored].clone()
        else:
            found[f"{layer.name}.bias"] = torch.zeros(stored)
    return found


def _dwsep(weight: Tensor, _rank: int) -> dict[str, Tensor]:
    return dict(zip(("depthwise", "pointwise"), per_channel(weight), strict=True))


def _inverted(weight: Tensor, inside: int) -> dict[str, Tensor]:
    inputs, point = weight.shape[1], (1,) * (weight.ndim - 2)
    depthwise, project = per_channel(weight, inside // inputs)
    copies = torch.eye(inputs).repeat_interleave(inside // inputs, dim=0)
    return {"widen": copies.reshape(-1, inputs, *point), "depthwise": depthwise, "project": project}


def _lowrank(weight: Tensor, rank: int) -> dict[str, Tensor]:
    return dict(zip(("basis", "expand"), over_channels(weight, rank), strict=True))


def _spatial(weight: Tensor, rank: int) -> dict[str, Tensor]:
    return dict(zip(("column", "row"), over_axes(weight, rank), strict=True))


def _fire(weight: Tensor, rank: int) -> dict[str, Tensor]:
    squeeze, wide = over_inputs(weight, rank)
    axes = tuple(range(2, weight.ndim))
    # Where the input changes little from sample to sample, the sum of the taps is what a 1x1 can do for them.
    return {"squeeze": squeeze, "wide": wide, "narrow": wide.sum(dim=axes, keepdim=True)}


#: Parts behind which stands a ReLU that the convolution does not have.
_INSIDE = frozenset({"squeeze", "widen", "depthwise"})

#: What each operator takes from a convolution, by part; the rank is that of its first part.
_PARTS: MappingProxyType[str, Callable[[Tensor, int], dict[str, Tensor]]] = MappingProxyType(
    {"dwsep": _dwsep, "inverted": _inverted, "lowrank": _lowrank, "spatial": _spatial, "fire": _fire}
)
