"""The atlas: the Pareto front of a bundle on a device, worked out before it is needed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from adaspring.space import Genome, SearchSpace
from adaspring.tables.slot_table import SlotTable
from adaspring.tables.viterbi import Trellis

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

#: Members of an atlas at most.
MEMBERS = 256
#: Weightings whose exact optima start the front, and how many go through one Viterbi pass.
WEIGHTINGS = 1024
BATCH = 128
#: Spread of the weights: standard deviation of their logarithm.
SPREAD = 2.0
#: Rounds of local improvement, and pair mutations drawn in each.
ROUNDS = 2
PAIRS = 8192
#: Mutants of a round that are compared with each other; the rest wait for the next round.
MOST_COMPARED = 3000


@dataclass(frozen=True, slots=True)
class Atlas:
    """Subnets of which none is better in every respect than another, by ascending latency.

    Attributes:
        genomes: Shape ``(n, slots + 1)``.
        accuracy_percent: Predicted accuracy, shape ``(n,)``, as the others.
        latency_us: Low percentile of compute at batch 1.
        energy_mj: Energy of one frame.
        parameters: Weights and biases.
    """

    genomes: Genome
    accuracy_percent: Array
    latency_us: Array
    energy_mj: Array
    parameters: Array

    def __len__(self) -> int:
        """Number of members."""
        return len(self.genomes)


def nondominated(points: Array) -> Mask:
    """Which points no other beats: none is at most as great everywhere and smaller somewhere.

    Args:
        points: Less is better in every column, shape ``(n, k)``; equal points do not
            beat each other.
    """
    order = np.lexsort(points.T)
    rest = points[order]
    kept: list[int] = []
    # Nobody later in lexicographic order beats the first of the rest, so it stays.
    while len(rest):
        first = rest[0]
        beaten = (rest >= first).all(axis=1) & (rest > first).any(axis=1)
        kept.append(int(order[0]))
        beaten[0] = True
        order, rest = order[~beaten], rest[~beaten]
    mask = np.zeros(len(points), dtype=bool)
    mask[kept] = True
    return mask


def build_atlas(
    space: SearchSpace,
    accuracy: SlotTable,
    latency_us: SlotTable,
    energy_mj: SlotTable,
    parameters: SlotTable,
    *,
    members: int = MEMBERS,
    seed: int = 0,
) -> Atlas:
    """The Pareto front over accuracy, latency, energy and parameters, thinned evenly.

    The optima of many random weightings are exact, but only those on the convex hull
    are among them; mutations of one and of two genes fill the dents.

    Args:
        space: The space of the tables.
        accuracy: In percent.
        latency_us: In microseconds.
        energy_mj: In millijoules.
        parameters: Weights and biases.
        members: How many to keep at most; the best in each respect always stay.
        seed: Of the weightings and the mutations.
    """
    rng = np.random.default_rng(seed)
    costs = (latency_us, energy_mj, parameters)
    trellis = Trellis(space, accuracy, *costs)
    packed = np.stack([-trellis.pack(accuracy), *(trellis.pack(table) for table in costs)], axis=1)

    def points_of(genomes: Genome) -> Array:
        points: Array = packed[trellis.edges(genomes)].sum(axis=1)
        return points

    front = _optima(trellis, packed, rng)
    front = front[nondominated(points_of(front))]
    front = front[_spread_out(points_of(front), members)]
    for _ in range(ROUNDS):
        mutants = np.unique(np.concatenate([_one_gene(space, front), _two_genes(space, front, rng)]), axis=0)
        mutants = mutants[~_beaten_by(points_of(mutants), points_of(front))]
        mutants = mutants[rng.permutation(len(mutants))[:MOST_COMPARED]]
        front = np.unique(np.concatenate([front, mutants]), axis=0)
        front = front[nondominated(points_of(front))]
        front = front[_spread_out(points_of(front), members)]
    points = points_of(front)
    order = np.argsort(points[:, 1], kind="stable")
    loss, latency, energy, size = points[order].T
    return Atlas(front[order], -loss, latency, energy, size)


def _optima(trellis: Trellis, packed: Array, rng: np.random.Generator) -> Genome:
    alone = trellis.solve(packed)
    extent = -trellis.solve(-packed).values - alone.values
    found = [alone.edges]
    for _ in range(WEIGHTINGS // BATCH):
        weights = np.exp(rng.normal(0.0, SPREAD, (packed.shape[1], BATCH)))
        found.append(trellis.solve(packed / np.where(extent > 0, extent, 1.0) @ weights).edges)
    return np.unique(trellis.genomes(np.concatenate(found)), axis=0)


def _one_gene(space: SearchSpace, front: Genome) -> Genome:
    limits = [*space.choice_counts.tolist(), len(space.spec.precisions)]
    mutants = []
    for gene, limit in enumerate(limits):
        changed = np.repeat(front, limit, axis=0)
        changed[:, gene] = np.tile(np.arange(limit), len(front))
        mutants.append(changed)
    return np.concatenate(mutants)


def _two_genes(space: SearchSpace, front: Genome, rng: np.random.Generator) -> Genome:
    mutants = front[rng.integers(len(front), size=PAIRS)]
    rows = np.arange(PAIRS)
    for _ in range(2):
        slots = rng.integers(space.slot_count, size=PAIRS)
        mutants[rows, slots] = rng.integers(space.choice_counts[slots])
    return mutants


def _beaten_by(points: Array, front: Array) -> Mask:
    """Which points some member of a front equals or beats."""
    beaten = np.zeros(len(points), dtype=bool)
    for member in front:
        beaten |= (points >= member).all(axis=1)
    return beaten


def _spread_out(points: Array, count: int) -> npt.NDArray[np.intp]:
    """Rows of the least of each column, then again and again of the point farthest from all taken."""
    if len(points) <= count:
        return np.arange(len(points))
    extent = np.ptp(points, axis=0)
    scaled = (points - points.min(axis=0)) / np.where(extent > 0, extent, 1.0)
    taken = list(dict.fromkeys(points.argmin(axis=0).tolist()))
    distance = np.min([((scaled - scaled[row]) ** 2).sum(axis=1) for row in taken], axis=0)
    while len(taken) < count:
        farthest = int(distance.argmax())
        taken.append(farthest)
        distance = np.minimum(distance, ((scaled - scaled[farthest]) ** 2).sum(axis=1))
    return np.array(taken)
