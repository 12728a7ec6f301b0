"""Accuracy of subnets exactly as the daemon assembles them, and the tables that predict it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from adaspring.bundle import AccuracyTables
from adaspring.engine.base import Engine
from adaspring.space import Genome, SearchSpace, analytic_tables
from adaspring.tables import SlotTable, fit_slot_table, kendall_tau
from adaspring.workbench.data import Rows

Array = npt.NDArray[np.float64]

#: One in so many subnets is held out to tell how well the tables predict.
HELD_OUT = 5

#: Ridge strength of the choices alone, in observations; their number is small beside that of the subnets.
CHOICE_RIDGE = 1.0


def measure(engine: Engine, genomes: Genome, rows: Rows, advance: Callable[[], None] = lambda: None) -> Array:
    """Accuracy of each subnet on some rows, in percent, shape ``(n,)``.

    Args:
        engine: The engine that will serve the subnets.
        genomes: Shape ``(n, slots + 1)``.
        rows: Windows in raw units and their labels.
        advance: Called after every subnet.
    """
    percent = np.empty(len(genomes))
    for index, genome in enumerate(genomes):
        logits = engine.prepare(genome).subnet.run(rows.x)
        percent[index] = 100.0 * np.mean(logits.argmax(axis=1) == rows.y)
        advance()
    return percent


def fit_tables(space: SearchSpace, genomes: Genome, percent: Array) -> AccuracyTables:
    """Tables that predict the accuracy of any subnet from those measured.

    The error and the rank correlation are those of a fit that had not seen the
    subnets which it is judged on; the tables are then fitted to all of them.
    """
    held = np.arange(len(genomes)) % HELD_OUT == 0
    predicted = _fit(space, genomes[~held], percent[~held]).evaluate(space, genomes[held])
    return AccuracyTables(
        percent=_fit(space, genomes, percent),
        error_points=float(np.abs(predicted - percent[held]).mean()),
        kendall_tau=kendall_tau(predicted, percent[held]),
        subnets=len(genomes),
    )


def unmeasured(space: SearchSpace) -> AccuracyTables:
    """What a bundle holds, in memory alone, until its accuracy is measured."""
    macs = SlotTable.of_macs(space, analytic_tables(space))
    return AccuracyTables(macs, error_points=100.0, kendall_tau=0.0, subnets=0)


def _fit(space: SearchSpace, genomes: Genome, percent: Array) -> SlotTable:
    prior = _by_choice(space, genomes, percent)
    return fit_slot_table(space, genomes, percent, prior, relative=False).table


def _by_choice(space: SearchSpace, genomes: Genome, percent: Array) -> SlotTable:
    """What each choice is worth whatever width it meets: where little was measured, the tables fall back to it."""
    offsets = np.concatenate([[0], np.cumsum(space.choice_counts)])
    design = np.zeros((len(genomes), offsets[-1]))
    design[np.arange(len(genomes))[:, None], offsets[:-1] + genomes[:, :-1]] = 1.0
    gram = design.T @ design + CHOICE_RIDGE * np.eye(offsets[-1])
    worth = np.linalg.solve(gram, design.T @ (percent - percent.mean()))
    values = np.where(space.legal, 0.0, np.inf)
    for slot, (first, last) in enumerate(pairwise(offsets)):
        values[slot, :, : last - first] += worth[first:last]
    precisions = len(space.spec.precisions)
    return SlotTable(np.stack([values] * precisions), np.zeros((precisions, len(space.widths))))
