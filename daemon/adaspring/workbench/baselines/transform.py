"""Weights of a rival out of those of the trained uncompressed network."""

from __future__ import annotations

import torch
from torch import Tensor

from adaspring.space import HEAD, Layer, SearchSpace, lower
from adaspring.workbench.factorise import over_channels
from adaspring.workbench.supernet import Weights


def factorised(trained: Weights, space: SearchSpace, initial: Weights) -> Weights:
    """Every low-rank pair becomes the truncated SVD of the convolution that it stands for.

    Args:
        trained: Weights of the uncompressed network of the same backbone.
        space: The space of the rival, one subnet.
        initial: Its initial weights; what has no counterpart stays as it is.
    """
    weights = dict(initial)
    for name in initial:
        counterpart = name.replace(".lowrank.", ".conv.").replace(".expand", ".full")
        if counterpart in trained and trained[counterpart].shape == initial[name].shape:
            weights[name] = trained[counterpart].clone()
    for block in lower(space, space.full()):
        for layer in block.layers:
            full = layer.name.replace(".lowrank.", ".conv.").replace(".basis", ".full")
            if layer.conv.part.endswith("basis") and f"{full}.weight" in trained:
                basis, expand = over_channels(trained[f"{full}.weight"], layer.conv.out_channels)
                weights[f"{layer.name}.weight"] = basis
                weights[f"{layer.name.replace('basis', 'expand')}.weight"] = expand
    return weights


def pruned(trained: Weights, space: SearchSpace, initial: Weights) -> Weights:
    """Of every convolution the output channels of greatest magnitude, reading the channels kept before it.

    Magnitude is the sum of the absolute weights of an output channel times its gain (Li and
    others, Pruning Filters for Efficient ConvNets, ICLR 2017). What is added up behind a
    residual block keeps the same channels on both ways.

    Args:
        trained: Weights of the uncompressed network of the same backbone.
        space: The space of the narrower rival, one subnet of plain convolutions.
        initial: Its initial weights, under the same names.
    """
    weights = dict(initial)
    reads = torch.arange(space.spec.input_channels)
    for block in lower(space, space.full()):
        projections = [layer for layer in block.layers if layer.conv.part == "projection"]
        chain = [layer for layer in block.layers if layer.conv.part != "projection"]
        inner = reads
        for layer in chain[:-1]:
            inner = _keep(weights, trained, layer, inner, _strongest(trained, layer.conv.out_channels, layer.name))
        last = chain[-1]
        if space.spec.slots[block.slot].shortcut == "identity":
            writes = reads
        else:
            names = (last.name, *(layer.name for layer in projections))
            writes = _strongest(trained, last.conv.out_channels, *names)
        _keep(weights, trained, last, inner, writes)
        for layer in projections:
            _keep(weights, trained, layer, reads, writes)
        reads = writes
    weights[f"{HEAD}.weight"] = trained[f"{HEAD}.weight"][:, reads].clone()
    weights[f"{HEAD}.bias"] = trained[f"{HEAD}.bias"].clone()
    return weights


def _strongest(trained: Weights, count: int, *layers: str) -> Tensor:
    """The channels whose magnitude, over all layers that write them, is greatest, in ascending order."""
    magnitude = sum(
        trained[f"{name}.weight"].abs().flatten(1).sum(dim=1) * trained[f"{name}.gamma"].abs() for name in layers
    )
    return torch.as_tensor(magnitude).topk(count).indices.sort().values


def _keep(weights: Weights, trained: Weights, layer: Layer, reads: Tensor, writes: Tensor) -> Tensor:
    """Take over what of a layer is kept; returns the channels that it writes."""
    weights[f"{layer.name}.weight"] = trained[f"{layer.name}.weight"][writes][:, reads].clone()
    for fact in ("gamma", "beta"):
        weights[f"{layer.name}.{fact}"] = trained[f"{layer.name}.{fact}"][writes].clone()
    return writes
