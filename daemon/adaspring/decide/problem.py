"""What is searched: the use of each quantity by every subnet, over the edges of the trellis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from adaspring.space import Genome, SearchSpace
from adaspring.tables import SlotTable, Trellis

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]

#: What a budget may bind. ``accuracy`` stands for what is lost against the full network,
#: so that less is better in each of them.
Quantity = Literal["accuracy", "latency", "energy", "memory"]
#: Their order in every array of the search.
QUANTITIES: tuple[Quantity, ...] = get_args(Quantity)
ACCURACY, LATENCY, ENERGY, MEMORY = range(4)
#: Share of its range by which a subnet may exceed a budget and still meet it: rounding.
ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Candidates:
    """Subnets that were looked at.

    Attributes:
        edges: Their paths through the trellis, shape ``(n, slots + 1)``.
        use: Their additive use of each quantity, scaled, shape ``(n, 4)``.
        peak: Their peak activation memory, scaled, shape ``(n,)``.
    """

    edges: Indices
    use: Array
    peak: Array

    def joined(self, other: Candidates) -> Candidates:
        """These, then others."""
        return Candidates(
            np.concatenate([self.edges, other.edges]),
            np.concatenate([self.use, other.use]),
            np.concatenate([self.peak, other.peak]),
        )


class Problem:
    """A space and the use of each quantity, scaled so that each ranges over about one.

    Attributes:
        trellis: The space, unrolled.
        scale: Range of each quantity over the whole space, in its own unit, shape ``(4,)``.
        use: Scaled use of each edge, shape ``(E, 4)``.
        peak: Scaled activation memory of each edge, shape ``(E,)``; a subnet needs the
            greatest along its path on top of its additive memory.
        least: Scaled least additive use over the space, shape ``(4,)``.
        most: Scaled greatest use, peak included, shape ``(4,)``.
        least_peak: No subnet has a smaller peak.
        detour: By how much each edge exceeds the least use from where it starts, shape ``(4, E)``.
        least_from_start: Least use from each first state, shape ``(4, starts)``.
        extremes: The subnets with the least use of each quantity, the full one and the smallest.
    """

    def __init__(self, space: SearchSpace, use: Mapping[Quantity, SlotTable], activations: SlotTable) -> None:
        """Index a problem.

        Args:
            space: The space.
            use: A table for each of `QUANTITIES`.
            activations: Memory of the tensors alive in each slot, in the unit of the memory table.
        """
        self.trellis = Trellis(space, *use.values())
        packed = np.stack([self.trellis.pack(use[name]) for name in QUANTITIES], axis=1)
        peak = self.trellis.pack(activations)
        least = self.trellis.solve(packed)
        most = -self.trellis.solve(-packed).values
        most[MEMORY] += peak.max()
        extent = most - least.values
        self.scale = np.where(extent > 0, extent, 1.0)
        self.use = np.ascontiguousarray(packed / self.scale)
        self.peak = peak / self.scale[MEMORY]
        self.least = least.values / self.scale
        self.most = most / self.scale
        self.least_peak = float(max(self.peak[stage.edges].min() for stage in self.trellis.stages))
        least_to_go = least.to_go / self.scale
        self.detour = np.ascontiguousarray(self.trellis.detour(self.use, least_to_go).T)
        self.least_from_start = np.ascontiguousarray(least_to_go[: self.trellis.starts].T)
        ends = self.trellis.edges(np.stack([space.full(), space.smallest()]))
        self.extremes = self.evaluate(np.concatenate([least.edges, ends]))

    def evaluate(self, edges: Indices) -> Candidates:
        """Use and peak of subnets, given as paths of shape ``(n, slots + 1)``."""
        return Candidates(edges, self.use.take(edges, axis=0).sum(axis=1), self.peak.take(edges).max(axis=1))

    def of_genomes(self, genomes: Genome) -> Candidates:
        """Use and peak of subnets, given as genomes of shape ``(n, slots + 1)``."""
        return self.evaluate(self.trellis.edges(genomes))

    def total(self, candidates: Candidates) -> Array:
        """All that candidates use, peak included, scaled, shape ``(n, 4)``."""
        total: Array = candidates.use.copy()
        total[:, MEMORY] += candidates.peak
        return total

    def excess(self, candidates: Candidates, budgets: Array) -> Array:
        """By how much candidates exceed scaled budgets, shape ``(n, 4)``; not positive where they fit."""
        excess: Array = self.total(candidates) - budgets
        return excess

    def fits(self, candidates: Candidates, budgets: Array) -> Mask:
        """Which candidates meet all scaled budgets; a budget is infinite where there is none."""
        fits: Mask = np.all(self.excess(candidates, budgets) <= ROUNDING, axis=1)
        return fits
