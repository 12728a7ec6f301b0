"""Ranges of activations for int8, observed at design time and fitted like the statistics of batch norm.

Each tensor that an int8 subnet rounds has a range that depends on all that stands
upstream. Its logarithms are observed for random subnets as the daemon assembles them,
and rows are fitted whose sum, chosen by the genome, comes closest (`statistics.fit_rows`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from adaspring.engine.quantize import INPUT_RANGE, POOLED
from adaspring.space import Genome, Layer, SearchSpace, lower, run_block
from adaspring.workbench.statistics import fit_rows
from adaspring.workbench.supernet import Norm, Slices, Weights, conditioned

#: Least ceiling of a tensor: one that is zero everywhere has a range all the same.
LEAST = 1e-4

#: Percentile of the scaled inputs that is their ceiling, and its counterpart their floor.
INPUT_PERCENTILE = 99.99


class _Observer(Slices):
    """Notes the range of every convolution's output."""

    def __init__(self, weights: Weights, norm: Norm) -> None:
        super().__init__(weights, norm)
        self.ranges: dict[str, npt.NDArray[np.float32]] = {}

    def convolve(self, layer: Layer, x: Tensor) -> Tensor:
        x = super().convolve(layer, x)
        self.ranges[layer.name] = _logarithms(x, signed=not layer.conv.relu)
        return x


@torch.no_grad()
def calibrate(
    space: SearchSpace,
    weights: Weights,
    genomes: Genome,
    x: Tensor,
    *,
    ridge: float,
    advance: Callable[[], None] = lambda: None,
) -> Weights:
    """Observe and fit the ranges of all activations.

    Args:
        space: The search space.
        weights: Trained weights with the statistics of their batch norms.
        genomes: Subnets, shape ``(n, slots + 1)``.
        x: Scaled training rows.
        ridge: Strength of the regression, in observations.
        advance: Called after every subnet.

    Returns:
        ``<tensor>.range`` of shape ``(condition_count, 1)`` behind a ReLU and
        ``(condition_count, 2)`` elsewhere, and that of the input, shape ``(2,)``.
    """
    slots: dict[str, int] = {}
    seen: defaultdict[str, list[tuple[Genome, npt.NDArray[np.float32]]]] = defaultdict(list)
    for genome in genomes:
        observer = _Observer(weights, conditioned(space, weights, genome))
        out = x
        blocks = lower(space, genome)
        for block in blocks:
            observer.ranges.clear()
            out = run_block(block, out, observer)
            if block.residual:
                observer.ranges[block.name] = _logarithms(out, signed=False)
            if block is blocks[-1]:
                pooled = out.flatten(start_dim=2).mean(dim=2)
                observer.ranges[f"{block.name}.{POOLED}"] = _logarithms(pooled, signed=False)
            for name, observed in observer.ranges.items():
                slots[name] = block.slot
                seen[name].append((genome, observed))
        advance()
    # The rare extremes of a sensor would cost all other samples their resolution.
    floor, ceiling = np.percentile(x.numpy(), [100 - INPUT_PERCENTILE, INPUT_PERCENTILE])
    ranges: Weights = {INPUT_RANGE: torch.tensor([ceiling, -floor]).float().clamp(min=LEAST).log()}
    for name, observations in seen.items():
        held = np.stack([genome for genome, _ in observations])
        target = np.stack([observed for _, observed in observations])
        ranges[f"{name}.range"] = torch.from_numpy(fit_rows(space, slots[name], held, target, ridge))
    return ranges


def _logarithms(x: Tensor, *, signed: bool) -> npt.NDArray[np.float32]:
    bounds = torch.stack([x.max(), -x.min()] if signed else [x.max()])
    logarithms: npt.NDArray[np.float32] = torch.log(bounds.clamp(min=LEAST)).numpy()
    return logarithms
