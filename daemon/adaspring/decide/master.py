"""The master problem of the dual ascent: which multipliers do the subnets seen so far suggest?

Over mixtures of known subnets, the least objective whose mean excess over every
budget is not positive is a linear program with one row per budget, and its duals
are the multipliers that the next Viterbi pass should try (Dantzig and Wolfe's
decomposition; equally Kelley's cutting planes for the Lagrangian dual). With at
most four budgets the basis is 5 x 5, so a revised simplex in a few lines takes
microseconds, where a general solver's set-up alone takes a millisecond.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

#: A reduced cost above this is not worth a pivot.
TOLERANCE = 1e-10
#: Pivots of one call; a degenerate basis could cycle. Any multipliers give a valid bound.
MAX_PIVOTS = 50


class Master:
    """Mixtures of subnets under budgets, solved again as subnets are added.

    Each budget may be exceeded at a price, the ceiling, so that there is always a
    solution; the multipliers never exceed the ceiling.
    """

    def __init__(self, objective: Array, excess: Array, ceiling: float) -> None:
        """Start from known subnets.

        Args:
            objective: What each costs, shape ``(n,)``.
            excess: By how much each exceeds each budget, shape ``(n, K)``.
            ceiling: Price of exceeding a budget by one.
        """
        budgets = excess.shape[1]
        slacks = np.eye(budgets, budgets + 1)
        self._columns = np.concatenate([slacks, -slacks, _with_one(excess)])
        self._costs = np.concatenate([np.zeros(budgets), np.full(budgets, ceiling), objective])
        # The first basis mixes nothing: one subnet, and for each budget its slack or surplus.
        start = int((objective + ceiling * np.maximum(excess, 0.0).sum(axis=1)).argmin())
        over = excess[start] > 0
        self._basis = np.append(np.arange(budgets) + budgets * over, 2 * budgets + start)
        sign = np.where(over, -1.0, 1.0)
        self._inverse = np.zeros((budgets + 1, budgets + 1))
        np.fill_diagonal(self._inverse, np.append(sign, 1.0))
        self._inverse[:-1, -1] = -sign * excess[start]
        self._amounts = self._inverse[:, -1].copy()

    def add(self, objective: Array, excess: Array) -> None:
        """Add subnets."""
        self._columns = np.concatenate([self._columns, _with_one(excess)])
        self._costs = np.concatenate([self._costs, objective])

    def solve(self) -> tuple[Array, float]:
        """Multipliers, shape ``(K,)``, and the least objective of a mixture."""
        for _ in range(MAX_PIVOTS):
            duals = self._costs[self._basis] @ self._inverse
            reduced = self._costs - self._columns @ duals
            entering = int(reduced.argmin())
            if reduced[entering] >= -TOLERANCE:
                break
            self._pivot(entering)
        duals = self._costs[self._basis] @ self._inverse
        return np.maximum(-duals[:-1], 0.0), float(duals[-1])

    def _pivot(self, entering: int) -> None:
        direction = self._inverse @ self._columns[entering]
        # Python floats: at five elements they beat array calls.
        steps = [
            amount / rate if rate > TOLERANCE else np.inf
            for amount, rate in zip(self._amounts.tolist(), direction.tolist(), strict=True)
        ]
        step = min(steps)
        leaving = steps.index(step)
        self._amounts -= step * direction
        self._amounts[leaving] = step
        row = self._inverse[leaving] / direction[leaving]
        self._inverse -= direction[:, None] * row
        self._inverse[leaving] = row
        self._basis[leaving] = entering


def _with_one(excess: Array) -> Array:
    columns = np.ones((len(excess), excess.shape[1] + 1))
    columns[:, :-1] = excess
    return columns
