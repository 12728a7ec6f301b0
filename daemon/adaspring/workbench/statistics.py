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

from adaspring.space import (
    Genome,
    SearchSpace,
    condition_count,
    condition_rows,
    lower,
    lower_all,
    statistics_count,
)
from adaspring.workbench.supernet import Recorded, Weights, forward

#: Ridge strength of joint rows and of those for what is far upstream at least, in observations.
#: On validation rows of har 0.3 leaves a little less than 1 or 4.
FINE_RIDGE = 0.3

#: Subnets that hold an offset at nothing, beside those that tell it.
ANCHOR_RIDGE = 1.0


@dataclass(frozen=True, slots=True)
class Observations:
    """Recorded statistics of one layer over the subnets that hold it.

    Attributes:
        slot: Slot of the layer.
        genomes: Subnets, shape ``(n, slots + 1)``.
        mean: Shape ``(n, channels)``, NaN where a subnet does not have the channel.
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
        for layer in (layer for block in lower(space, genome) for layer in block.layers if layer.conv.norm):
            mean[layer.name][index, layer.channels] = statistics.mean[layer.name].numpy()
            log_std[layer.name][index, layer.channels] = statistics.log_std[layer.name].numpy()
        advance()
    observed: dict[str, Observations] = {}
    for layer in layers:
        held = np.isfinite(mean[layer.name]).any(axis=1)
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
        ``<layer>.mean`` and ``<layer>.log_std``, shape ``(statistics_count, channels)``.
    """
    rows: Weights = {}
    for name, layer in observed.items():
        design = _design(space, layer.slot, layer.genomes, statistics_count(space, name, layer.slot))
        for fact, target in (("mean", layer.mean), ("log_std", layer.log_std)):
            table = _fitted(design, target, condition_count(space, layer.slot), ridge)
            rows[f"{name}.{fact}"] = torch.from_numpy(table)
    return rows


def anchor(space: SearchSpace, rows: Weights, observed: dict[str, Observations]) -> Weights:
    """Move fitted rows to statistics that were recorded with more data.

    Rows were fitted to many subnets, each run with the same few rows of data, and what these have of
    their own is nearly the same for all subnets. It is the mean of what is left of subnets that were
    recorded with more, and goes to the row that always applies.

    Args:
        space: The search space.
        rows: What `fit` returned.
        observed: What `record` returned for some subnets and more rows of data.
    """
    moved = dict(rows)
    for name, layer in observed.items():
        design = _design(space, layer.slot, layer.genomes, len(rows[f"{name}.mean"]))
        for fact, target in (("mean", layer.mean), ("log_std", layer.log_std)):
            table = rows[f"{name}.{fact}"].numpy()
            left = target - design @ table
            known = np.isfinite(left)
            # One subnet counts as nothing much: its own misfit is as large as what is looked for.
            offset = np.where(known, left, 0.0).sum(axis=0) / (known.sum(axis=0) + ANCHOR_RIDGE)
            table = table.copy()
            table[0] += offset.astype(np.float32)
            moved[f"{name}.{fact}"] = torch.from_numpy(table)
    return moved


def fit_rows(
    space: SearchSpace, slot: int, genomes: Genome, target: npt.NDArray[np.float32], ridge: float
) -> npt.NDArray[np.float32]:
    """The rows for width and producers whose sum, selected by the genome, comes closest to a target.

    Args:
        space: The search space.
        slot: Slot of what was observed.
        genomes: Subnets, shape ``(n, slots + 1)``.
        target: What was observed of each, shape ``(n, channels)``; NaN where there was nothing.
        ridge: Strength, in observations.

    Returns:
        Shape ``(condition_count, channels)``.
    """
    count = condition_count(space, slot)
    return _fitted(_design(space, slot, genomes, count), target, count, ridge)


def _fitted(
    design: npt.NDArray[np.float64], target: npt.NDArray[np.float32], plain: int, ridge: float
) -> npt.NDArray[np.float32]:
    penalty = np.full(design.shape[1], ridge)
    penalty[0] = 1e-6
    # What width and producer explain by themselves is theirs: a row for more may rest on few subnets.
    penalty[plain:] = max(ridge, FINE_RIDGE)
    return _solve(design, target, penalty)


def _design(space: SearchSpace, slot: int, genomes: Genome, count: int) -> npt.NDArray[np.float64]:
    """Which rows each subnet selects, shape ``(n, count)``."""
    design = np.zeros((len(genomes), count))
    for index, genome in enumerate(genomes):
        design[index, condition_rows(space, genome, slot).of(design.T)] = 1.0
    return design


def _solve(
    design: npt.NDArray[np.float64], target: npt.NDArray[np.float32], penalty: npt.NDArray[np.float64]
) -> npt.NDArray[np.float32]:
    """Ridge regression of each column of a target over the observations in which it is a number."""
    solution = np.zeros((design.shape[1], target.shape[1]))
    known = np.isfinite(target)
    # Channels of one width block are known in the same subnets, so they are solved together.
    for pattern in np.unique(known, axis=1).T:
        columns = np.flatnonzero((known == pattern[:, None]).all(axis=0))
        held = design[pattern]
        gram = held.T @ held + np.diag(penalty)
        solution[:, columns] = np.linalg.solve(gram, held.T @ target[np.ix_(pattern, columns)].astype(np.float64))
    return solution.astype(np.float32)
