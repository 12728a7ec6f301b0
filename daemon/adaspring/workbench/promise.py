"""What a promised front is worth on rows that did not choose it."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
import numpy.typing as npt

from adaspring.engine.base import Engine
from adaspring.space import Genome, SearchSpace
from adaspring.workbench.accuracy import Verdicts, fit_tables, promised, verdicts
from adaspring.workbench.data import Rows

Mask = npt.NDArray[np.bool_]


class Promise(msgspec.Struct, frozen=True):
    """A front that tables promised, measured on the rows that they were fitted to and again on others.

    The two parts of the rows differ in how hard they are, so random subnets stand beside it.

    Attributes:
        groups: Groups of the first part; empty where rows were divided by share.
        rows: Rows of the first part, and of the second.
        members: Subnets of the front.
        promised_percent: What the tables, fitted to the first part, promised of them in the mean.
        front_percent: Their mean accuracy on the first part, and on the second.
        random_percent: That of the random subnets.
    """

    groups: tuple[int | str, ...]
    rows: tuple[int, int]
    members: int
    promised_percent: float
    front_percent: tuple[float, float]
    random_percent: tuple[float, float]


def hold_to(
    engine: Engine,
    space: SearchSpace,
    genomes: Genome,
    right: Verdicts,
    rows: Rows,
    *,
    random: int,
    advance: Callable[[], None] = lambda: None,
) -> Promise:
    """Measure what tables that have seen a part of the rows promise.

    Args:
        engine: The engine that will serve the subnets.
        space: The search space.
        genomes: Subnets measured, the random ones first.
        right: Which rows each answers rightly, shape ``(n, rows)``.
        rows: Those rows.
        random: How many of the subnets were drawn at random.
        advance: Called after every subnet.
    """
    first, groups = first_part(rows)
    table = fit_tables(space, genomes, right[:, first])[0].percent
    front = promised(space, table)
    again = verdicts(engine, front, rows, advance)
    return Promise(
        groups=groups,
        rows=(int(first.sum()), int((~first).sum())),
        members=len(front),
        promised_percent=float(table.evaluate(space, front).mean()),
        front_percent=_on_both(again, first),
        random_percent=_on_both(right[:random], first),
    )


def first_part(rows: Rows) -> tuple[Mask, tuple[int | str, ...]]:
    """About half of the rows, and whose: every other group, or every other row of each class where there is one group.

    What is alike within a group is then not on both sides.
    """
    groups = np.unique(rows.group)
    if len(groups) > 1:
        return np.isin(rows.group, groups[::2]), tuple(groups[::2].tolist())
    first = np.zeros(len(rows), dtype=bool)
    for label in np.unique(rows.y):
        first[np.flatnonzero(rows.y == label)[::2]] = True
    return first, ()


def _on_both(right: Verdicts, first: Mask) -> tuple[float, float]:
    return float(100 * right[:, first].mean()), float(100 * right[:, ~first].mean())
