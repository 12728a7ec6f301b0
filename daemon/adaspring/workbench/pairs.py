"""What two blocks that follow each other do to accuracy beyond what each does alone."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from adaspring.space import Genome, SearchSpace

Array = npt.NDArray[np.float64]

#: Ridge strengths that are tried, in observations.
RIDGES = (3.0, 10.0, 30.0)


def fit_pairs(space: SearchSpace, genomes: Genome, residual: Array) -> Array:
    """What each block adds behind each that may stand before it, by ridge regression.

    There are more pairs than subnets, so it is solved in as many unknowns as subnets: two
    of them are alike in so many pairs as they share. The strength is that which foretells
    each subnet best from the others (in closed form).

    Args:
        space: The search space.
        genomes: Subnets measured, shape ``(n, slots + 1)``.
        residual: What an additive table leaves of their accuracy, in points, shape ``(n,)``.

    Returns:
        As `SlotTable.pairs`.
    """
    pairs = _pairs_of(space, genomes)
    shared = np.zeros((len(genomes), len(genomes)))
    for column in pairs.T:
        shared += (column[:, None] == column) & (column >= 0)
    weights, least = np.zeros(len(genomes)), np.inf
    for ridge in RIDGES:
        inverse = np.linalg.inv(shared + ridge * np.eye(len(genomes)))
        solution = inverse @ residual
        left_out = float(np.abs(solution / np.diag(inverse)).mean())
        if left_out < least:
            weights, least = solution, left_out
    blocks = int(space.first_choice[-1]) + 1
    worth = np.zeros(blocks * blocks)
    for column in pairs.T:
        np.add.at(worth, column[column >= 0], weights[column >= 0])
    return worth.reshape(blocks, blocks)


def _pairs_of(space: SearchSpace, genomes: Genome) -> npt.NDArray[np.int64]:
    """A number for the pair that ends in each slot and in the head, -1 for a skip, shape ``(n, slots + 1)``."""
    before, here = space.blocks(genomes)
    skips = np.append(space.skips, np.False_)
    return np.where(skips[here], -1, before * (int(space.first_choice[-1]) + 1) + here)
