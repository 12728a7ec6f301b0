"""Accuracy of subnets exactly as the daemon assembles them, and the tables that predict it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from adaspring.bundle import AccuracyTables
from adaspring.engine.base import Engine
from adaspring.space import Genome, SearchSpace, analytic_tables
from adaspring.tables import SlotTable, fit_slot_table
from adaspring.workbench.data import Rows

Array = npt.NDArray[np.float64]


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
    """Tables that predict the accuracy of any subnet from those measured."""
    prior = SlotTable.of_macs(space, analytic_tables(space))
    fit = fit_slot_table(space, genomes, percent, prior, relative=False)
    return AccuracyTables(fit.table, fit.mean_absolute_error, fit.kendall_tau, len(genomes))


def unmeasured(space: SearchSpace) -> AccuracyTables:
    """What a bundle holds, in memory alone, until its accuracy is measured."""
    return AccuracyTables(
        SlotTable.of_macs(space, analytic_tables(space)), error_points=100.0, kendall_tau=0.0, subnets=0
    )
