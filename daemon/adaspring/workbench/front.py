"""The subnets worth having: predicted accuracy against MACs."""

from __future__ import annotations

import numpy as np

from adaspring.bundle import Bundle
from adaspring.space import Genome, analytic_tables
from adaspring.tables import SlotTable
from adaspring.workbench.sampling import diverse


def accuracy_front(bundle: Bundle, seed: int = 7, rounds: int = 12, count: int = 20000) -> Genome:
    space = bundle.space
    rng = np.random.default_rng(seed)
    macs_table = SlotTable.of_macs(space, analytic_tables(space))
    pool = np.concatenate([[space.full(), space.smallest()], diverse(space, rng, count)])
    for _ in range(rounds):
        macs = macs_table.evaluate(space, pool)
        percent = bundle.accuracy.percent.evaluate(space, pool)
        order = np.lexsort((-percent, macs))
        best = np.maximum.accumulate(percent[order])
        keep = np.concatenate([[True], percent[order][1:] > best[:-1]])
        front = pool[order[keep]]
        children = front[rng.integers(0, len(front), count)].copy()
        slots = rng.integers(0, space.slot_count, (count, 2))
        for j in range(2):
            children[np.arange(count), slots[:, j]] = rng.integers(0, space.choice_counts[slots[:, j]])
        pool = np.concatenate([front, children])
    return front
