"""Runtime3C: evolution by layer-wise inherit-and-mutate, here with proofs, then by pair swaps.

As in the paper (Liu et al., arXiv 2101.11800), a population walks through the
network layer by layer: each member inherits what was chosen so far and mutates, at
the next slot, into every choice that it offers. Ours differs in who survives. Each
mutant is priced as if completed by the best tail at the prices of the dual ascent,
so no descendant of it can cost less. It dies if that cannot beat the best subnet
known, or if its least use of some budget exceeds the budget. Only then the
population is cut to size, the cheapest first; where nothing had to be cut, the best
survivor is proven optimal.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from adaspring.decide.dual import Prices
from adaspring.decide.problem import ROUNDING, Array, Indices
from adaspring.decide.quest import Quest
from adaspring.space import Genome

#: Mutants of one generation of pair swaps.
SWAPS = 512
#: Members that are completed by their best tails when time is up on the way.
COMPLETED = 16


def evolve(quest: Quest, prices: Prices, population: int, expired: Callable[[], bool]) -> bool:
    """Take one population through all layers, and offer who survives.

    Args:
        quest: What to improve.
        prices: Of the dual ascent.
        population: Members that may live behind a slot.
        expired: Whether to stop for want of time.

    Returns:
        Whether all that could beat the best were looked at.
    """
    problem = quest.problem
    trellis = problem.trellis
    active = quest.active
    budgets = (quest.additive_budgets[active] + ROUNDING)[:, None]
    limit = quest.limit
    detour = problem.detour[active]
    priced = trellis.detour(quest.priced(prices.weights[:, None])[:, 0], prices.to_go)

    state = np.arange(trellis.starts)
    score = prices.to_go[state] - prices.offset
    use = problem.least_from_start[active]
    lineage: list[tuple[Indices, Indices]] = []
    cut = np.inf
    for stage in trellis.stages:
        if expired():
            quest.look_at(_completed(quest, lineage, score, priced))
            return False
        members = len(state)
        edges = (stage.offers[:, None] + state).ravel()
        mutants: Array = (priced.take(edges).reshape(-1, members) + score).ravel()
        alive = np.flatnonzero(mutants < limit)
        parent = alive % members
        edges = edges.take(alive)
        inherited = detour.take(edges, axis=1)
        inherited += use.take(parent, axis=1)
        kept = np.flatnonzero((inherited <= budgets).all(axis=0))
        if len(kept) > population:
            scores = mutants.take(alive.take(kept))
            order = scores.argpartition(population)
            cut = min(cut, float(scores[order[population]]))
            kept = kept.take(order[:population])
        if not len(kept):
            break
        edges = edges.take(kept)
        score = mutants.take(alive.take(kept))
        use = inherited.take(kept, axis=1)
        state = trellis.tip.take(edges)
        lineage.append((parent.take(kept), edges))
    else:
        quest.look_at(_paths(lineage, np.arange(len(state))))
    quest.bound = max(quest.bound, min(limit, cut))
    return cut >= limit


def swap_pairs(quest: Quest, rng: np.random.Generator, expired: Callable[[], bool]) -> None:
    """Improve the best subnet by random changes of two slots at once, until a generation brings nothing.

    Two slots, because at the edge of a budget one slot has to give what another takes.
    """
    trellis = quest.problem.trellis
    space = trellis.space
    while quest.best is not None and not quest.closed() and not expired():
        before = quest.value
        mutants: Genome = np.repeat(trellis.genomes(quest.best[None]), SWAPS, axis=0)
        rows = np.arange(SWAPS)
        for _ in range(2):
            slots = rng.integers(space.slot_count, size=SWAPS)
            mutants[rows, slots] = rng.integers(space.choice_counts[slots])
        quest.look_at(trellis.edges(mutants))
        if quest.value >= before:
            break


def _completed(quest: Quest, lineage: list[tuple[Indices, Indices]], score: Array, priced: Array) -> Indices:
    """The cheapest members as they stand, each with the best tail at the prices."""
    trellis = quest.problem.trellis
    cheapest = score.argsort(kind="stable")[:COMPLETED]
    state = np.arange(trellis.starts).take(cheapest) if not lineage else trellis.tip.take(lineage[-1][1].take(cheapest))
    tails = []
    for stage in trellis.stages[len(lineage) :]:
        edges = stage.offers[:, None] + state
        best = priced.take(edges).argmin(axis=0)
        tails.append(edges[best, np.arange(len(state))])
        state = trellis.tip.take(tails[-1])
    return np.column_stack([_paths(lineage, cheapest), *tails])


def _paths(lineage: list[tuple[Indices, Indices]], members: Indices) -> Indices:
    """Edges up to the last slot that members of the last generation passed, shape ``(n, slots passed)``."""
    paths = np.empty((len(members), len(lineage)), dtype=np.intp)
    for slot in range(len(lineage) - 1, -1, -1):
        parents, edges = lineage[slot]
        paths[:, slot] = edges.take(members)
        members = parents.take(members)
    return paths
