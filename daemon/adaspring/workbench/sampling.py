"""Random subnets for training and measuring."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from adaspring.space import SKIP, Genome, SearchSpace

#: Below one, most subnets lean towards one operator and one width.
CONCENTRATION = 0.6


def diverse(space: SearchSpace, rng: np.random.Generator, count: int) -> Genome:
    """Draw subnets from the corners of the space as well as from its middle.

    Genes drawn independently and uniformly make subnets that are all much alike: a
    mix of everything, of middle size and depth. Fronts are made of others. So every
    other subnet first draws a taste, how much it likes to skip, each operator and each
    rank of width, and then its genes by that taste: shallow and deep, narrow and wide,
    pure and mixed subnets all come up.

    Returns:
        Shape ``(count, slots + 1)``.
    """
    genomes = space.random(rng, count)
    slots = range(space.slot_count)
    for genome in genomes[1::2]:
        skipping = rng.uniform()
        operators = rng.dirichlet(np.full(max(len(_operators(space, slot)) for slot in slots), CONCENTRATION))
        widths = rng.dirichlet(np.full(max(len(_widths(space, slot)) for slot in slots), CONCENTRATION))
        for slot in slots:
            liked = _liking(space, slot, operators, widths)
            choices = space.choices[slot]
            if choices[-1] is SKIP:
                liked[-1] = liked.sum() * skipping / (1.0 - skipping)
            genome[slot] = rng.choice(len(choices), p=liked / liked.sum())
    return genomes


def balanced(space: SearchSpace, rng: np.random.Generator, count: int) -> Genome:
    """Draw subnets in which every choice comes up behind every other, across skipped slots too.

    What follows from a choice and the block before it, as statistics do, is learned from those
    that are seen together. Under `diverse` some pairs come up many times as often as others, and
    a fit is as bad as the rarest that a subnet has. So here each subnet draws how much it likes to
    skip, and what it does not skip uniformly.

    Returns:
        Shape ``(count, slots + 1)``.
    """
    genomes = space.random(rng, count)
    skipping = rng.uniform(size=count)
    for slot, choices in enumerate(space.choices):
        if choices[-1] is SKIP:
            others = len(choices) - 1
            skipped = rng.uniform(size=count) < skipping
            genomes[:, slot] = np.where(skipped, others, rng.integers(0, others, count))
    return genomes


def covering(space: SearchSpace) -> Genome:
    """The full network with one slot changed at a time: every choice comes up, shape ``(choices, slots + 1)``."""
    genomes = np.repeat(space.full()[None], int(space.choice_counts.sum()), axis=0)
    for slot, first in enumerate(np.cumsum(space.choice_counts) - space.choice_counts):
        count = int(space.choice_counts[slot])
        genomes[first : first + count, slot] = np.arange(count)
    return genomes


def with_ends(space: SearchSpace, genomes: Genome) -> Genome:
    """The full network and the smallest before others."""
    return np.concatenate([[space.full(), space.smallest()], genomes])


def _liking(
    space: SearchSpace, slot: int, operators: npt.NDArray[np.float64], widths: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Weight of each choice of a slot by its operator and the rank of its width; 0 for a skip."""
    offered, ranks = _operators(space, slot), _widths(space, slot)
    return np.array(
        [
            0.0
            if choice.operator is None
            else operators[offered.index(choice.operator)] * widths[ranks.index(choice.width)]
            for choice in space.choices[slot]
        ]
    )


def _operators(space: SearchSpace, slot: int) -> list[str]:
    return list(space.spec.offered(space.spec.slots[slot]))


def _widths(space: SearchSpace, slot: int) -> list[int]:
    return sorted({choice.width for choice in space.choices[slot] if choice is not SKIP}, reverse=True)
