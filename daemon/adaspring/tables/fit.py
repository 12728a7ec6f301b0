"""Fitting a slot table to whole subnets that were measured.

Tables of single slots miss whole subnets, because caches, layouts and fused
kernels couple neighbours. So whole subnets are measured, and a ridge regression
spreads what was seen over (slot, running width, choice) entries.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from adaspring.errors import TableError
from adaspring.space import Genome, SearchSpace
from adaspring.tables.slot_table import SlotTable

Array = npt.NDArray[np.float64]

#: Ridge strengths tried by `fit_slot_table`, in units of one observation.
RIDGES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
#: Fewest different values of the prior that a precision gets a line of its own from.
LEAST_POINTS = 10


@dataclass(frozen=True, slots=True)
class Fit:
    """A fitted table and how well it does on subnets that it has not seen.

    Attributes:
        table: Fitted to all observations.
        ridge: The strength that did best in cross-validation.
        mean_absolute_error: Cross-validated, in the unit of the target.
        mape_percent: Cross-validated mean absolute percentage error, over targets that are not zero.
        kendall_tau: Cross-validated rank correlation.
    """

    table: SlotTable
    ridge: float
    mean_absolute_error: float
    mape_percent: float
    kendall_tau: float


def fit_slot_table(
    space: SearchSpace, genomes: Genome, targets: Array, prior: SlotTable, *, relative: bool, folds: int = 5
) -> Fit:
    """Fit a table to measured subnets, shrunk towards a prior.

    Args:
        space: The space of the genomes.
        genomes: Measured subnets, shape ``(n, slots + 1)``.
        targets: What was measured, shape ``(n,)``.
        prior: What entries without evidence fall back to, up to one factor and one
            constant that are fitted for each precision (for latency: MACs).
        relative: Whether to weigh errors relative to the target (latency) or absolute
            (accuracy).
        folds: Parts of the cross-validation.

    Raises:
        TableError: If there are too few observations, or one is not a finite number.
    """
    if len(genomes) < 2 * folds or not np.isfinite(targets).all():
        raise TableError(f"a fit needs at least {2 * folds} finite observations; there are {len(genomes)}")
    features = TableFeatures(space)
    design = features.encode(genomes)
    weights = 1.0 / targets if relative else np.ones_like(targets)
    base = prior.evaluate(space, genomes)

    precision = genomes[:, -1].astype(np.intp)

    def solve(rows: npt.NDArray[np.intp], ridges: tuple[float, ...]) -> tuple[Array, list[Array]]:
        lines = _lines(base[rows], targets[rows], weights[rows], precision[rows], len(space.spec.precisions))
        residual = targets[rows] - _along(lines, precision[rows], base[rows])
        return lines, _ridge(design[rows], residual, weights[rows], ridges)

    fold_of = np.arange(len(genomes)) % folds
    predicted = np.empty((len(RIDGES), len(genomes)))
    for fold in range(folds):
        held = np.flatnonzero(fold_of == fold)
        lines, solutions = solve(np.flatnonzero(fold_of != fold), RIDGES)
        for index, solution in enumerate(solutions):
            predicted[index, held] = _along(lines, precision[held], base[held]) + design[held] @ solution
    errors = np.abs(predicted - targets)
    best = int(np.argmin((errors * weights).mean(axis=1)))
    # An error has no percentage of a target that is zero (a subnet that is never right).
    nonzero = targets != 0
    lines, (solution,) = solve(np.arange(len(genomes)), (RIDGES[best],))
    return Fit(
        table=features.decode(solution, prior, lines),
        ridge=RIDGES[best],
        mean_absolute_error=float(errors[best].mean()),
        mape_percent=float(100 * (errors[best, nonzero] / np.abs(targets[nonzero])).mean()),
        kendall_tau=kendall_tau(predicted[best], targets),
    )


def kendall_tau(first: Array, second: Array) -> float:
    """Kendall rank correlation (tau-b) of two vectors, by counting all pairs, a row at a time."""
    concordance = untied_first = untied_second = 0.0
    for row in range(len(first) - 1):
        a = np.sign(first[row + 1 :] - first[row])
        b = np.sign(second[row + 1 :] - second[row])
        concordance += float(a @ b)
        untied_first += float(a @ a)
        untied_second += float(b @ b)
    untied = np.sqrt(untied_first * untied_second)
    return float(concordance / untied) if untied else 0.0


def _lines(x: Array, y: Array, weights: Array, precision: npt.NDArray[np.intp], count: int) -> Array:
    """Slope and intercept for each precision, shape ``(P, 2)``; of all together where one has too few."""
    lines = np.tile(np.polyfit(x, y, 1, w=weights), (count, 1))
    for index in range(count if count > 1 else 0):
        rows = precision == index
        if len(np.unique(x[rows])) >= LEAST_POINTS:
            lines[index] = np.polyfit(x[rows], y[rows], 1, w=weights[rows])
    return lines


def _along(lines: Array, precision: npt.NDArray[np.intp], x: Array) -> Array:
    slope, intercept = lines[precision].T
    along: Array = slope * x + intercept
    return along


def _scaled(prior: Array, slope: Array) -> Array:
    """A prior times slopes; what is illegal stays infinite, whichever way noise tilts the line."""
    scaled: Array = np.multiply(prior, slope, out=np.full_like(prior, np.inf), where=np.isfinite(prior))
    return scaled


def _ridge(design: Array, target: Array, weights: Array, ridges: tuple[float, ...]) -> list[Array]:
    # Weights are scaled to a mean of one, so that a ridge counts in observations.
    scale = weights / weights.mean()
    weighted = design * scale[:, None]
    values, vectors = np.linalg.eigh(weighted.T @ weighted)
    projected = vectors.T @ (weighted.T @ (target * scale))
    return [vectors @ (projected / (np.maximum(values, 0.0) + ridge)) for ridge in ridges]


class TableFeatures:
    """One-hot encoding of legal table entries; the order is that of the space's arrays.

    Attributes:
        count: Number of entries.
    """

    def __init__(self, space: SearchSpace) -> None:
        """Number the entries of a space."""
        self._space = space
        precisions = len(space.spec.precisions)
        self._entry = np.full((precisions, *space.legal.shape), -1)
        legal = np.broadcast_to(space.legal, self._entry.shape)
        self._entry[legal] = np.arange(int(legal.sum()))
        self._head = np.full((precisions, len(space.widths)), -1)
        first = int(legal.sum())
        count = precisions * len(space.final_widths)
        self._head[:, space.final_widths] = first + np.arange(count).reshape(precisions, -1)
        self.count = first + count

    def encode(self, genomes: Genome) -> Array:
        """Which entries each subnet uses, shape ``(n, count)``: ones and zeros."""
        widths = self._space.running_widths(genomes)
        precision = genomes[:, -1]
        columns = np.empty((len(genomes), self._space.genome_length), dtype=np.intp)
        slots = np.arange(self._space.slot_count)
        columns[:, :-1] = self._entry[precision[:, None], slots, widths[:, :-1], genomes[:, :-1]]
        columns[:, -1] = self._head[precision, widths[:, -1]]
        design = np.zeros((len(genomes), self.count))
        design[np.arange(len(genomes))[:, None], columns] = 1.0
        return design

    def entries(self, table: SlotTable) -> Array:
        """A table as one number per entry, shape ``(count,)``."""
        entries = np.empty(self.count)
        known, final = self._entry >= 0, self._head >= 0
        entries[self._entry[known]] = table.values[known]
        entries[self._head[final]] = table.head[final]
        return entries

    def decode(self, solution: Array, prior: SlotTable, lines: Array) -> SlotTable:
        """A prior times a slope plus an intercept, plus one number per entry.

        Args:
            solution: What is added to each entry, shape ``(count,)``.
            prior: The table to start from.
            lines: Slope and intercept for each precision, shape ``(P, 2)``, or for all, ``(1, 2)``.
        """
        slope, intercept = lines.T
        values = _scaled(prior.values, slope[:, None, None, None])
        head = _scaled(prior.head, slope[:, None]) + intercept[:, None]
        known = self._entry >= 0
        values[known] += solution[self._entry[known]]
        final = self._head >= 0
        head[final] += solution[self._head[final]]
        return SlotTable(values, head)
