"""Accuracy of subnets exactly as the daemon assembles them, and the tables that predict it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import msgspec
import numpy as np
import numpy.typing as npt

from adaspring.bundle import AccuracyTables
from adaspring.engine.base import Engine, Subnet
from adaspring.space import Genome, SearchSpace, analytic_tables
from adaspring.tables import SlotTable, build_atlas, fit_slot_table, kendall_tau
from adaspring.workbench.data import Rows
from adaspring.workbench.pairs import fit_pairs

Array = npt.NDArray[np.float64]
Verdicts = npt.NDArray[np.bool_]

#: Parts of the cross-validation that tells how well the tables predict.
FOLDS = 5

#: Subnets of a front that are measured at most.
PROMISED = 128

#: Draws of a bootstrap.
DRAWS = 100

#: Rows that a subnet answers at a time.
BATCH = 256

#: Ridge strength of the choices alone, in observations; their number is small beside that of the subnets.
CHOICE_RIDGE = 1.0


class Judgement(msgspec.Struct, frozen=True):
    """How well accuracy was predicted, beside the best that these rows allow.

    Few rows make two measurements of one accuracy differ. So a predictor that knew the
    accuracy on these rows exactly is held against the accuracy on rows drawn from them
    with replacement: no predictor does better than that by more than chance.

    Attributes:
        kendall_tau: Rank correlation of predicted and measured accuracy.
        tau_interval: Its 95 % interval, by a bootstrap over the subnets.
        error_points: Mean absolute error, in points.
        error_interval: Its 95 % interval.
        ceiling_tau: Rank correlation that the exact predictor reaches.
        ceiling_error_points: Mean absolute error that it is left with.
        subnets: Subnets judged on.
        rows: Rows that these answered.
    """

    kendall_tau: float
    tau_interval: tuple[float, float]
    error_points: float
    error_interval: tuple[float, float]
    ceiling_tau: float
    ceiling_error_points: float
    subnets: int
    rows: int


def verdicts(engine: Engine, genomes: Genome, rows: Rows, advance: Callable[[], None] = lambda: None) -> Verdicts:
    """Which rows each subnet answers rightly, shape ``(n, rows)``.

    Args:
        engine: The engine that will serve the subnets.
        genomes: Shape ``(n, slots + 1)``.
        rows: Rows and their labels.
        advance: Called after every subnet.
    """
    right, x = np.empty((len(genomes), len(rows)), dtype=bool), rows.inputs()
    for index, genome in enumerate(genomes):
        right[index] = answers(engine.prepare(genome).subnet, x).argmax(axis=1) == rows.y
        advance()
    return right


def percent_of(right: Verdicts) -> Array:
    """Accuracy of each subnet, in percent, shape ``(n,)``."""
    percent: Array = 100.0 * right.mean(axis=1)
    return percent


def judge(predicted: Array, right: Verdicts) -> Judgement:
    """Hold predictions against what was measured.

    Args:
        predicted: Predicted accuracy of each subnet, in percent, shape ``(n,)``.
        right: What was measured, shape ``(n, rows)``.
    """
    percent, rng = percent_of(right), np.random.default_rng(0)
    taus, errors, ceilings, residues = (np.empty(DRAWS) for _ in range(4))
    for draw in range(DRAWS):
        some = rng.integers(0, len(right), len(right))
        taus[draw] = kendall_tau(predicted[some], percent[some])
        errors[draw] = np.abs(predicted[some] - percent[some]).mean()
        again = percent_of(right[:, rng.integers(0, right.shape[1], right.shape[1])])
        ceilings[draw], residues[draw] = kendall_tau(percent, again), np.abs(percent - again).mean()
    return Judgement(
        kendall_tau=kendall_tau(predicted, percent),
        tau_interval=_interval(taus),
        error_points=float(np.abs(predicted - percent).mean()),
        error_interval=_interval(errors),
        ceiling_tau=float(ceilings.mean()),
        ceiling_error_points=float(residues.mean()),
        subnets=len(right),
        rows=right.shape[1],
    )


def _interval(draws: Array) -> tuple[float, float]:
    low, high = np.percentile(draws, [2.5, 97.5])
    return float(low), float(high)


def answers(subnet: Subnet, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Logits of many rows, some at a time: the activations of all of them would not fit."""
    return np.concatenate([subnet.run(x[first : first + BATCH]) for first in range(0, len(x), BATCH)])


def fit_tables(space: SearchSpace, genomes: Genome, right: Verdicts) -> tuple[AccuracyTables, Judgement]:
    """Tables that predict the accuracy of any subnet from those measured.

    The judgement is by cross-validation: every subnet is predicted by a fit that had not
    seen it. The tables are then fitted to all of them, with pairs of blocks where those
    foretell accuracy better.

    Args:
        space: The search space.
        genomes: Subnets measured, shape ``(n, slots + 1)``.
        right: Which rows each answers rightly, shape ``(n, rows)``.
    """
    percent, fold = percent_of(right), np.arange(len(genomes)) % FOLDS
    alone, paired = np.empty((2, len(genomes)))
    for held in (fold == part for part in range(FOLDS)):
        table = fit_percent(space, genomes[~held], percent[~held])
        alone[held] = table.evaluate(space, genomes[held])
        paired[held] = with_pairs(space, table, genomes[~held], percent[~held]).evaluate(space, genomes[held])
    better = bool(np.abs(paired - percent).mean() < np.abs(alone - percent).mean())
    judgement = judge(paired if better else alone, right)
    table = fit_percent(space, genomes, percent)
    tables = AccuracyTables(
        percent=with_pairs(space, table, genomes, percent) if better else table,
        error_points=judgement.error_points,
        kendall_tau=judgement.kendall_tau,
        subnets=len(genomes),
    )
    return tables, judgement


def promised(space: SearchSpace, percent: SlotTable) -> Genome:
    """The front that a table promises, over what needs no device to know: MACs and parameters.

    A search goes where the table promises most, and of all subnets it finds those that the
    table flatters. So these are measured as well, and the table is fitted again with them.

    Args:
        space: The search space.
        percent: Predicted accuracy.
    """
    analytic = analytic_tables(space)
    macs, parameters = SlotTable.of_macs(space, analytic), SlotTable.of_parameters(space, analytic)
    return build_atlas(space, percent, macs, macs, parameters, members=PROMISED).genomes


def unmeasured(space: SearchSpace) -> AccuracyTables:
    """What a bundle holds, in memory alone, until its accuracy is measured."""
    macs = SlotTable.of_macs(space, analytic_tables(space))
    return AccuracyTables(macs, error_points=100.0, kendall_tau=0.0, subnets=0)


def fit_percent(space: SearchSpace, genomes: Genome, percent: Array) -> SlotTable:
    """A table that predicts the accuracy of subnets from that of some, in percent."""
    prior = _by_choice(space, genomes, percent)
    return fit_slot_table(space, genomes, percent, prior, relative=False).table


def with_pairs(space: SearchSpace, table: SlotTable, genomes: Genome, percent: Array) -> SlotTable:
    """A table with what pairs of blocks tell beyond it of the accuracy of subnets that were measured.

    Entries that were fitted alone have taken for their own what belongs to pairs. So they are
    fitted again to what the pairs leave, and the pairs to what these leave.

    Args:
        space: The search space.
        table: Entries fitted alone.
        genomes: Subnets measured, shape ``(n, slots + 1)``.
        percent: Their accuracy, shape ``(n,)``.
    """
    pairs = fit_pairs(space, genomes, percent - table.evaluate(space, genomes))
    table = fit_percent(space, genomes, percent - pairs[space.blocks(genomes)].sum(axis=1))
    pairs = fit_pairs(space, genomes, percent - table.evaluate(space, genomes))
    return SlotTable(table.values, table.head, pairs)


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
