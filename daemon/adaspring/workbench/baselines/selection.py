"""Which subnets stand in the comparison."""

from __future__ import annotations

from itertools import product

import numpy as np

from adaspring.bundle import Bundle
from adaspring.space import Genome, SearchSpace, analytic_tables
from adaspring.tables import SlotTable, build_atlas
from adaspring.workbench.evaluate import front

#: Budgets of MACs, as shares of those of the full network, at which subnets are trained alone
#: and on-demand selection is asked.
SHARES = (0.5, 0.2)

#: Most subnets of a front that are measured.
POOL = 30

#: Spaces of at most so many subnets are searched exhaustively.
EXHAUSTIBLE = 300_000


def pool(bundle: Bundle, latency_us: SlotTable | None = None) -> Genome:
    """What ours may be picked from, in every precision that is offered.

    The full network and thinned fronts: of predicted accuracy against MACs, and against latency where
    that was measured. What has few MACs need not be quick.

    Args:
        bundle: The bundle.
        latency_us: The device's measured table; None where there is none.
    """
    space = bundle.space
    parts = [space.full()[None], _thinned(space, front(bundle), _macs(space))]
    if latency_us is not None:
        atlas = build_atlas(space, bundle.accuracy.percent, latency_us, latency_us, latency_us)
        parts.append(_thinned(space, atlas.genomes, latency_us))
    chosen = np.concatenate(parts)
    both = [space.in_precision(chosen, precision) for precision in space.spec.precisions]
    return np.unique(np.concatenate(both), axis=0)


def _thinned(space: SearchSpace, members: Genome, cost: SlotTable) -> Genome:
    """So many of a front, evenly from the cheapest to the dearest."""
    order = np.argsort(cost.evaluate(space, members))
    thinned: Genome = members[order[np.unique(np.linspace(0, len(order) - 1, POOL).astype(int))]]
    return thinned


def within(bundle: Bundle, share: float) -> Genome:
    """The member of the front that is predicted best among those within a share of the full network's MACs."""
    space, members = bundle.space, front(bundle)
    macs = _macs(space)
    budget = share * float(macs.evaluate(space, space.full()[None])[0])
    members = members[macs.evaluate(space, members) <= budget]
    best: Genome = members[np.argmax(bundle.accuracy.percent.evaluate(space, members))]
    return space.in_precision(best, "float32")


def greedy(bundle: Bundle, share: float) -> Genome:
    """On-demand selection step by step: the change of one slot that costs least accuracy for the MACs that it saves."""
    space, macs, accuracy = bundle.space, _macs(bundle.space), bundle.accuracy.percent
    genome = space.full()
    budget = share * float(macs.evaluate(space, genome[None])[0])
    while (now := float(macs.evaluate(space, genome[None])[0])) > budget:
        changed = np.stack([_changed(genome, slot, choice) for slot, choice in _others(space, genome)])
        saved = now - macs.evaluate(space, changed)
        lost = float(accuracy.evaluate(space, genome[None])[0]) - accuracy.evaluate(space, changed)
        useful = saved > 0
        if not useful.any():
            return space.smallest()
        genome = changed[useful][np.argmin(lost[useful] / saved[useful])]
    return genome


def exhaustive(bundle: Bundle, share: float) -> Genome:
    """On-demand selection over every subnet, or over the front where there are too many."""
    space = bundle.space
    if space.subnet_count > EXHAUSTIBLE:
        return within(bundle, share)
    genomes = np.array([(*choice, 0) for choice in product(*(range(len(slot)) for slot in space.choices))])
    genomes = genomes.astype(space.full().dtype)
    macs = _macs(space)
    budget = share * float(macs.evaluate(space, space.full()[None])[0])
    genomes = genomes[macs.evaluate(space, genomes) <= budget]
    best: Genome = genomes[np.argmax(bundle.accuracy.percent.evaluate(space, genomes))]
    return best


def _macs(space: SearchSpace) -> SlotTable:
    return SlotTable.of_macs(space, analytic_tables(space))


def _others(space: SearchSpace, genome: Genome) -> list[tuple[int, int]]:
    return [
        (slot, choice)
        for slot in range(space.slot_count)
        for choice in range(len(space.choices[slot]))
        if choice != genome[slot]
    ]


def _changed(genome: Genome, slot: int, choice: int) -> Genome:
    changed = genome.copy()
    changed[slot] = choice
    return changed
