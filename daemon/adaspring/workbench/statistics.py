"""Statistics of batch norm for every subnet, fitted over many recorded ones.

What a layer sees depends on all that stands upstream, so one set of statistics
serves no two subnets well, and recomputing them takes data and seconds. They are
therefore recorded for some thousand random subnets, and a ridge regression finds
the rows whose sum, chosen by the genome (`space.conditions`), comes closest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from adaspring.space import Genome, SearchSpace, condition_count, condition_rows, lower_all
from adaspring.workbench.supernet import Recorded, Weights, forward


@dataclass(frozen=True, slots=True)
class Observations:
    """Recorded statistics of one layer over the subnets that hold it.

    Attributes:
        slot: Slot of the layer.
        genomes: Subnets, shape ``(n, slots + 1)``.
        mean: Shape ``(n, channels)``, NaN beyond the width of a subnet.
        log_std: The same for the logarithm of the standard deviation.
    """

    slot: int
    genomes: Genome
    mean: npt.NDArray[np.float32]
    log_std: npt.NDArray[np.float32]


@torch.no_grad()
def record(
    space: SearchSpace, weights: Weights, genomes: Genome, x: Tensor, advance: Callable[[], None] = lambda: None
) -> dict[str, Observations]:
    """Run rows through subnets and record the statistics of every normed layer, by its name.

    Args:
        space: The search space.
        weights: Trained weights.
        genomes: Subnets, shape ``(n, slots + 1)``.
        x: Scaled training windows, all run in one batch.
        advance: Called after every subnet.
    """
    layers = [layer for layer in lower_all(space) if layer.conv.norm]
    # Written in place: thousands of small tensors kept between large ones that come and go
    # would pin gigabytes of the heap.
    shapes = {layer.name: (len(genomes), layer.conv.out_channels) for layer in layers}
    mean = {name: np.full(shape, np.nan, dtype=np.float32) for name, shape in shapes.items()}
    log_std = {name: np.full(shape, np.nan, dtype=np.float32) for name, shape in shapes.items()}
    for index, genome in enumerate(genomes):
        statistics = Recorded()
        forward(space, weights, genome, x, statistics.record)
        for name, values in statistics.mean.items():
            mean[name][index, : len(values)] = values.numpy()
            log_std[name][index, : len(values)] = statistics.log_std[name].numpy()
        advance()
    observed: dict[str, Observations] = {}
    for layer in layers:
        # The first channel is there in every subnet that has the layer.
        held = np.isfinite(mean[layer.name][:, 0])
        observed[layer.name] = Observations(
            layer.slot, genomes[held], mean[layer.name][held], log_std[layer.name][held]
        )
    return observed


def fit(space: SearchSpace, observed: dict[str, Observations], ridge: float) -> Weights:
    """Fit the rows of every layer.

    Args:
        space: The search space.
        observed: What `record` returned.
        ridge: Strength, in observations; it pulls all rows but the first to zero.

    Returns:
        ``<layer>.mean`` and ``<layer>.log_std``, shape ``(condition_count, channels)``.
    """
    rows: Weights = {}
    for name, layer in observed.items():
        count = condition_count(space, layer.slot)
        design = np.zeros((len(layer.genomes), count))
        for index, genome in enumerate(layer.genomes):
            design[index, condition_rows(space, genome, layer.slot)] = 1.0
        rows[f"{name}.mean"] = torch.from_numpy(_solve(design, layer.mean, ridge))
        rows[f"{name}.log_std"] = torch.from_numpy(_solve(design, layer.log_std, ridge))
    return rows


def _solve(design: npt.NDArray[np.float64], target: npt.NDArray[np.float32], ridge: float) -> npt.NDArray[np.float32]:
    """Ridge regression of each column of a target over the observations in which it is a number."""
    solution = np.zeros((design.shape[1], target.shape[1]))
    penalty = np.full(design.shape[1], ridge)
    penalty[0] = 1e-6
    known = np.isfinite(target)
    # Channels of one width block are known in the same subnets, so they are solved together.
    for pattern in np.unique(known, axis=1).T:
        columns = np.flatnonzero((known == pattern[:, None]).all(axis=0))
        held = design[pattern]
        gram = held.T @ held + np.diag(penalty)
        solution[:, columns] = np.linalg.solve(gram, held.T @ target[np.ix_(pattern, columns)].astype(np.float64))
    return solution.astype(np.float32)
