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

#: Rows that run through a subnet at a time: the greatest of all is the greatest of the parts, and images of all of
#: them at once would take gigabytes.
ROWS_AT_ONCE = 64


class _Observer(Slices):
    """Notes the range of every convolution's output, and of what else it is told, over all rows that ran."""

    def __init__(self, weights: Weights, norm: Norm) -> None:
        super().__init__(weights, norm)
        self.ranges: dict[str, npt.NDArray[np.float32]] = {}
        self.slots: dict[str, int] = {}

    def convolve(self, layer: Layer, x: Tensor) -> Tensor:
        x = super().convolve(layer, x)
        self.note(layer.name, layer.slot, x, signed=not layer.conv.relu)
        return x

    def note(self, name: str, slot: int, x: Tensor, *, signed: bool = False) -> None:
        """Widen the range of a tensor of a slot to what it holds now."""
        seen = _logarithms(x, signed=signed)
        self.slots[name] = slot
        self.ranges[name] = np.maximum(self.ranges.get(name, seen), seen)


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
        blocks = lower(space, genome)
        for out in torch.split(x, ROWS_AT_ONCE):
            for block in blocks:
                out = run_block(block, out, observer)  # noqa: PLW2901  # it is what the next block reads
                if block.residual:
                    observer.note(block.name, block.slot, out)
            last = blocks[-1]
            observer.note(f"{last.name}.{POOLED}", last.slot, out.flatten(start_dim=2).mean(dim=2))
        slots.update(observer.slots)
        for name, observed in observer.ranges.items():
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
