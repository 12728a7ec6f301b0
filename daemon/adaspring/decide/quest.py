"""One minimisation under way: the best subnet so far and the proven bound."""

from __future__ import annotations

import numpy as np

from adaspring.decide.problem import MEMORY, ROUNDING, Array, Candidates, Indices, Problem

#: A subnet this close to the bound, relative to it, counts as optimal.
CLOSED = 1e-6
#: By how much a bound must exceed the costliest subnet to prove that none meets the
#: budgets, relative and absolute: prices magnify rounding. More than `CLOSED`, so that
#: the costliest itself can be found.
DOUBT = 2e-6


class Quest:
    """The least weighted use under budgets: what was found and what was proven.

    Attributes:
        problem: The space and its quantities.
        weights: Weight of each scaled quantity in the objective, shape ``(4,)``, none negative.
        budgets: Scaled budgets, shape ``(4,)``; infinite where there is none.
        additive_budgets: The same, less the least peak of all subnets in the memory
            budget. A peak is a maximum and adds up along no path, so the bound
            grants every subnet the least one.
        active: Indices of the budgets that some subnet exceeds.
        seen: Every subnet that was looked at.
        best: Path of the best subnet that meets the budgets and is of interest; None while
            there is none.
        value: Its objective; while there is none, the least that is not of interest.
        bound: No subnet that meets the budgets has an objective below both this and `value`.
    """

    def __init__(
        self, problem: Problem, weights: Array, budgets: Array, known: Candidates, ceiling: float = np.inf
    ) -> None:
        """Start from known subnets.

        Args:
            problem: As the attribute.
            weights: As the attribute.
            budgets: As the attribute.
            known: Subnets to start from.
            ceiling: Only a subnet with a smaller objective is of interest.
        """
        self.problem = problem
        self.weights = weights
        self.budgets = budgets
        self.additive_budgets = budgets.copy()
        self.additive_budgets[MEMORY] -= problem.least_peak
        self.active = np.flatnonzero(budgets < problem.most)
        self.best: Indices | None = None
        # Nothing costs more than the costliest: a bound above it proves that no subnet meets the budgets.
        greatest = float(weights @ problem.most)
        self.value = min(ceiling, greatest + DOUBT * (1 + abs(greatest)))
        unreachable = (self.additive_budgets < problem.least - ROUNDING).any()
        self.bound = np.inf if unreachable else float(weights @ problem.least)
        masked = problem.peak > budgets[MEMORY] - problem.least[MEMORY] + ROUNDING
        self._mask = np.where(masked, np.inf, 0.0)[:, None] if masked.any() else None
        self.seen = known
        self._offer(known)

    def closed(self) -> bool:
        """Whether there is nothing left to gain."""
        return self.bound >= self.limit

    @property
    def limit(self) -> float:
        """What the objective of a subnet must stay below to be worth finding."""
        return self.value - CLOSED * abs(self.value)

    def look_at(self, edges: Indices) -> Candidates:
        """Evaluate paths, keep them in mind, and keep the best if it beats the best so far."""
        candidates = self.problem.evaluate(edges)
        self.seen = self.seen.joined(candidates)
        self._offer(candidates)
        return candidates

    def priced(self, weights: Array) -> Array:
        """Cost of each edge for columns of weights of shape ``(4, B)``; shape ``(E, B)``.

        An edge whose activations alone break the memory budget costs infinity.
        """
        costs: Array = self.problem.use @ weights
        if self._mask is not None:
            costs += self._mask
        return costs

    def additive_excess(self, candidates: Candidates) -> Array:
        """By how much candidates exceed the active budgets as the bound sees them, shape ``(n, K)``."""
        excess: Array = (candidates.use - self.additive_budgets)[:, self.active]
        return excess

    def _offer(self, candidates: Candidates) -> None:
        fits = self.problem.fits(candidates, self.budgets)
        objective = np.where(fits, candidates.use @ self.weights, np.inf)
        best = int(objective.argmin())
        if objective[best] < self.value:
            self.value = float(objective[best])
            self.best = candidates.edges[best]
