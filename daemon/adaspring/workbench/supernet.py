"""The supernet: the shared weights of all subnets, and the forward pass of any one.

Weights are a plain dictionary of tensors under the names of the bundle, and a
subnet is a walk over `space.lower`: what is trained is sliced exactly as the
engines slice it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod, sqrt
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from adaspring.space import (
    HEAD,
    Genome,
    Layer,
    SearchSpace,
    condition_rows,
    lower,
    lower_all,
    max_input_width,
    run_block,
)

Weights: TypeAlias = dict[str, Tensor]

#: Added to a variance before its root is taken; recorded statistics hold the logarithm of that root.
#: A channel that is dead in one subnet and alive in another would spread that logarithm too far for
#: a sum of rows to follow, so this is larger than usual.
EPSILON = 1e-3

#: ``(layer, convolved, gamma, beta) -> normalised``
Norm: TypeAlias = Callable[[Layer, Tensor, Tensor, Tensor], Tensor]


def initial_weights(space: SearchSpace, seed: int, identity: float) -> Weights:
    """Weights before training: He-normal convolutions, neutral norms, a small head.

    Args:
        space: The search space.
        seed: Seed of the draw.
        identity: Share of the identity in square convolutions of plain slots of stride 1.
            What such a slot puts out then starts close to what it takes in, so that the slot
            behind it gets along with either (Zagoruyko and Komodakis, DiracNets, 2017).
            A residual block has its shortcut for that, and starts as nothing but it.
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(shape: tuple[int, ...], deviation: float) -> Tensor:
        return torch.randn(shape, generator=generator) * deviation

    weights: Weights = {}
    for layer in lower_all(space):
        conv, shape, slot = layer.conv, layer.weight_shape, space.spec.slots[layer.slot]
        weight = normal(shape, sqrt(2.0 / prod(shape[1:])))
        if conv.in_channels == conv.out_channels and slot.stride == 1 and slot.shortcut == "none":
            weight = weight * (1.0 - identity) + identity * _identity(shape, depthwise=conv.depthwise)
        weights[f"{layer.name}.weight"] = weight
        if conv.norm:
            ends_residual = not conv.relu and conv.part != "projection"
            weights[f"{layer.name}.gamma"] = torch.full((shape[0],), 0.0 if ends_residual else 1.0)
            weights[f"{layer.name}.beta"] = torch.zeros(shape[0])
        else:
            weights[f"{layer.name}.bias"] = torch.zeros(shape[0])
    width = max_input_width(space, space.slot_count)
    weights[f"{HEAD}.weight"] = normal((space.spec.outputs, width), sqrt(1.0 / width))
    weights[f"{HEAD}.bias"] = torch.zeros(space.spec.outputs)
    return weights


def _identity(shape: tuple[int, ...], *, depthwise: bool) -> Tensor:
    weight = torch.zeros(shape)
    middle = tuple(extent // 2 for extent in shape[2:])
    for channel in range(shape[0]):
        weight[(channel, 0 if depthwise else channel, *middle)] = 1.0
    return weight


def features(
    space: SearchSpace, weights: Weights, genome: Genome, x: Tensor, norm: Norm
) -> Iterator[tuple[int, Tensor]]:
    """Run a subnet up to its head, one slot at a time.

    Args:
        space: The search space.
        weights: Shared weights.
        genome: The subnet.
        x: Scaled input, shape ``(n, channels, *size)``.
        norm: How batch norms come by their statistics.

    Yields:
        Index and output of every slot that is not skipped.
    """
    arithmetic = Slices(weights, norm)
    for block in lower(space, genome):
        x = run_block(block, x, arithmetic)
        yield block.slot, x


class Slices:
    """What a block computes while it is trained: slices of the shared weights, norms not folded."""

    def __init__(self, weights: Weights, norm: Norm) -> None:
        """Take shared weights, and how batch norms come by their statistics."""
        self._weights = weights
        self._norm = norm

    def convolve(self, layer: Layer, x: Tensor) -> Tensor:
        """See `space.Arithmetic`."""
        conv, name, channels = layer.conv, layer.name, layer.channels
        weight = self._weights[f"{name}.weight"][channels]
        if not conv.depthwise:
            weight = weight[:, : conv.in_channels]
        bias = None if conv.norm else self._weights[f"{name}.bias"][channels]
        operation = functional.conv1d if len(conv.kernel) == 1 else functional.conv2d
        padding = [extent // 2 for extent in conv.kernel]
        groups = conv.out_channels if conv.depthwise else 1
        x = operation(x, weight, bias, stride=conv.stride, padding=padding, groups=groups)
        if conv.norm:
            x = self._norm(layer, x, self._weights[f"{name}.gamma"][channels], self._weights[f"{name}.beta"][channels])
        return functional.relu(x) if conv.relu else x

    def concatenate(self, parts: list[Tensor]) -> Tensor:
        """See `space.Arithmetic`."""
        return torch.cat(parts, dim=1)

    def add(self, x: Tensor, shortcut: Tensor) -> Tensor:
        """See `space.Arithmetic`."""
        return functional.relu(x + shortcut)


def classify(weights: Weights, feature: Tensor) -> Tensor:
    """Logits from the output of the last slot: global average pool and linear classifier."""
    pooled = feature.flatten(start_dim=2).mean(dim=2)
    return functional.linear(pooled, weights[f"{HEAD}.weight"][:, : pooled.shape[1]], weights[f"{HEAD}.bias"])


def forward(space: SearchSpace, weights: Weights, genome: Genome, x: Tensor, norm: Norm) -> Tensor:
    """Logits of a subnet, shape ``(n, outputs)``; for the arguments see `features`."""
    for _, feature in features(space, weights, genome, x, norm):
        x = feature
    return classify(weights, x)


def batch_norm(_layer: Layer, x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    """Normalise with the statistics of the batch itself, as in training."""
    return functional.batch_norm(x, None, None, gamma, beta, training=True, eps=EPSILON)


def apply_statistics(x: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    """Normalise with given statistics, each of shape ``(channels,)``."""
    gain = gamma * torch.exp(-log_std)
    along = (-1, *(1,) * (x.ndim - 2))
    return x * gain.reshape(along) + (beta - mean * gain).reshape(along)


def log_deviation(variance: Tensor) -> Tensor:
    """Logarithm of the standard deviation that a batch norm divides by."""
    return 0.5 * torch.log(variance + EPSILON)


class Recorded:
    """Statistics of one subnet, recorded from rows that ran through it and then applied.

    Attributes:
        mean: Mean of every normed layer, by name.
        log_std: Logarithm of its standard deviation.
    """

    def __init__(self) -> None:
        """Start with nothing recorded."""
        self.mean: dict[str, Tensor] = {}
        self.log_std: dict[str, Tensor] = {}

    def record(self, layer: Layer, x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        """Normalise with the statistics of the batch, and keep them."""
        axes = (0, *range(2, x.ndim))
        variance, mean = torch.var_mean(x, dim=axes, correction=0)
        self.mean[layer.name], self.log_std[layer.name] = mean, log_deviation(variance)
        return apply_statistics(x, gamma, beta, mean, self.log_std[layer.name])

    def apply(self, layer: Layer, x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        """Normalise with the statistics kept."""
        return apply_statistics(x, gamma, beta, self.mean[layer.name], self.log_std[layer.name])


def conditioned(space: SearchSpace, weights: Weights, genome: Genome) -> Norm:
    """Normalise with the statistics rows that a genome selects, as an assembled subnet does."""
    selected = {slot: condition_rows(space, genome, slot) for slot in range(space.slot_count)}

    def norm(layer: Layer, x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        means, log_stds = weights[f"{layer.name}.mean"], weights[f"{layer.name}.log_std"]
        rows = torch.from_numpy(selected[layer.slot].of(means))
        mean = means[rows, layer.channels].sum(dim=0)
        log_std = log_stds[rows, layer.channels].sum(dim=0)
        return apply_statistics(x, gamma, beta, mean, log_std)

    return norm
