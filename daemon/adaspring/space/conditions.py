"""What the statistics of a batch norm are conditioned on.

The input of a slot depends on everything chosen before it, so one set of batch
norm statistics does not fit all subnets. Statistics are therefore a linear
function of the genome: a bias row plus rows for what stands upstream. Design
time fits the rows over many random subnets; assembly adds up those that apply.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from adaspring.space.space import Genome, SearchSpace


def condition_count(space: SearchSpace, slot: int) -> int:
    """Rows of the statistics of a layer in a slot."""
    return 1 + int(space.choice_counts[:slot].sum())


def condition_rows(space: SearchSpace, genome: Genome, slot: int) -> npt.NDArray[np.intp]:
    """Rows that apply to a layer in a slot of a subnet; their sum is its statistics.

    Row 0 always applies; then one row for the choice of every slot upstream.
    """
    offsets = 1 + np.concatenate([[0], np.cumsum(space.choice_counts[:slot])[:-1]]) if slot else np.empty(0)
    rows = np.concatenate([[0], offsets + genome[:slot]])
    return rows.astype(np.intp)
