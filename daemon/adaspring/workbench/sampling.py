"""Random subnets for training and measuring."""

from __future__ import annotations

import numpy as np

from adaspring.space import Genome, SearchSpace

#: Below one, most subnets lean towards a few choices: mostly narrow ones, mostly
#: one operator, mostly skips. Fronts are made of such subnets.
CONCENTRATION = 0.6


def diverse(space: SearchSpace, rng: np.random.Generator, count: int) -> Genome:
    """Draw subnets from the corners of the space as well as from its middle.

    Genes drawn independently and uniformly make subnets that are all much alike: a
    mix of everything. Here every other subnet first draws its own taste, how much it
    likes each rank of choice, and then its genes by that taste.

    Returns:
        Shape ``(count, slots + 1)``.
    """
    genomes = space.random(rng, count)
    ranks = int(space.choice_counts.max())
    for genome in genomes[1::2]:
        taste = rng.dirichlet(np.full(ranks, CONCENTRATION))
        for slot, choices in enumerate(space.choice_counts):
            # A skip is the last choice of the slots that have one, so rank means the same in all.
            liked = taste[:choices] + 1e-9
            genome[slot] = rng.choice(choices, p=liked / liked.sum())
    return genomes
