"""Several models on one device: one subnet for each, so that together they keep to what there is.

Each model brings a front of subnets. What a combination of them costs adds up: memory, power, and how busy the engine
is, which makes frames of every model wait for those of all others. The best combination is found exactly (`branching`).
Where none keeps to all limits, they give way in the order that is asked for, each by the least.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import numpy as np

from adaspring.decide.branching import BranchAndBound, Product
from adaspring.decide.demands import LIMITED, Limits
from adaspring.decide.problem import Array

#: Partial combinations looked at in one search, which takes a core of a server about a second. Beyond it the best so
#: far is taken, and said not to be proven. Counted and not timed, so that the same inputs give the same outcome.
MOST_LOOKED_AT = 1 << 24


@dataclass(frozen=True, slots=True)
class Combination:
    """The best combination.

    Attributes:
        rows: Of the front of each model.
        objective: Sum of what the models score.
        limits: As relaxed, where not all could be met.
        relaxed: Which had to give, as indices into `Limits.vector`, the first to give way first.
        proven: Whether no other combination of the fronts within these limits scores less.
        prices: On a unit of each of `LIMITED`, shape ``(3,)``: what it costs in score to have less of it.
    """

    rows: tuple[int, ...]
    objective: float
    limits: Limits
    relaxed: tuple[int, ...]
    proven: bool
    prices: Array


class Market(Product):
    """The product of some models' fronts, and the best of it."""

    #: Partial combinations looked at since `best` began.
    _looked_at = 0

    def best(self, limits: Limits, yielding: Sequence[int]) -> Combination:
        """The combination of least objective within limits; where there is none, limits give way.

        Args:
            limits: What combinations are held to.
            yielding: All indices into `Limits.vector`; the first gives way first, each by the least that
                those behind it permit.
        """
        self._looked_at = 0
        wanted = limits.vector()
        objectives = [front.objective for front in self.fronts]
        search = self._least(objectives, None, wanted, None)
        found, allowed = search.best, wanted
        if found is None:
            allowed, known = self._relaxed(wanted, yielding)
            search = self._least(objectives, None, allowed, known)
            found = search.best or known
        score = sum(float(objective[row]) for objective, row in zip(objectives, found, strict=True))
        relaxed = tuple(index for index in yielding if allowed[index] > wanted[index])
        proven = self._looked_at <= MOST_LOOKED_AT
        return Combination(found, score, Limits.of_vector(allowed), relaxed, proven, search.prices)

    def _relaxed(self, wanted: Array, yielding: Sequence[int]) -> tuple[Array, tuple[int, ...]]:
        """Limits that can be met, and a combination that meets them: the last to give way first."""
        allowed = np.full(len(wanted), inf)
        models = len(self.fronts)
        known: tuple[int, ...] = tuple(int(front.memory_mib.argmin()) for front in self.fronts)
        for index in reversed(yielding):
            if self._demand(known, index) > wanted[index]:
                costs = [np.zeros(len(front)) for front in self.fronts]
                if index < models:
                    costs[index] = self.fronts[index].loss_points
                elif index >= 2 * models:
                    costs = [columns[:, LIMITED[index - 2 * models]] for columns in self.columns]
                own_latency = index - models if models <= index < 2 * models else None
                known = self._least(costs, own_latency, allowed, known).best or known
            allowed[index] = max(wanted[index], self._demand(known, index))
        return allowed, known

    def _demand(self, rows: tuple[int, ...], index: int) -> float:
        return float(self.demands([np.array([row]) for row in rows])[0, index])

    def _least(
        self, costs: Sequence[Array], own_latency: int | None, limits: Array, known: tuple[int, ...] | None
    ) -> BranchAndBound:
        """The search for the combination of least cost within limits, when it has ended.

        Args:
            costs: Of each model's subnets; they add up.
            own_latency: The model whose latency, waiting included, is to be least instead; costs are zero then.
            limits: In the order of `Limits.vector`.
            known: A combination that meets the limits.
        """
        search = BranchAndBound(self, costs, own_latency, limits)
        if known is not None:
            search.offer([np.array([row]) for row in known])
        self._looked_at += search.run(MOST_LOOKED_AT - self._looked_at)
        return search
