"""Branch and bound over the product of some models' fronts.

A combination is put together model by model. A partial one is dropped where even the least of all models to come breaks
a limit, or where prices on the limits (the dual ascent of one model, see `master`) prove that no completion beats the
best combination known. What is left is looked at whole, so the outcome is exact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from math import inf

import numpy as np

from adaspring.decide.demands import LIMITED, Front, Limits, Load, combined_demands, rounded
from adaspring.decide.master import Master
from adaspring.decide.problem import ROUNDING, Array, Indices, Mask
from adaspring.decide.quest import DOUBT

#: Rounds of the dual ascent, and the price at which a limit may be exceeded by all of it, in ranges of the objective.
MOST_ROUNDS = 8
CEILING = 100.0
#: Prices to try for a good combination to begin with, in ranges of the objective for all of a limit.
TRIED_PRICES = (0.0, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0)
#: Combinations of all models but the last that are looked at together; memory is bounded by it.
CHUNK = 4096


class Product:
    """The product of some models' fronts.

    Attributes:
        fronts: Of each model.
        columns: What each subnet of each model adds to what adds up, shape ``(n, 5)`` each.
    """

    def __init__(self, fronts: Sequence[Front], load: Load) -> None:
        """Index them.

        Args:
            fronts: Of each model; at least one, each with at least one subnet.
            load: What comes for them.
        """
        self.fronts = tuple(fronts)
        self.columns = [load.columns(model, front) for model, front in enumerate(fronts)]

    def demands(self, rows: Sequence[Indices]) -> Array:
        """What combinations need, in the order of `Limits.vector`, shape ``(n, 2 models + 3)``.

        Args:
            rows: Of each model's front, shape ``(n,)`` each.
        """
        used = np.sum([columns[row] for columns, row in zip(self.columns, rows, strict=True)], axis=0)
        losses = [front.loss_points[row] for front, row in zip(self.fronts, rows, strict=True)]
        computes = [front.latency_s[row] for front, row in zip(self.fronts, rows, strict=True)]
        return combined_demands(used, losses, computes)

    def fits(self, rows: Sequence[Indices], limits: Limits) -> Mask:
        """Which combinations keep to limits, shape ``(n,)``; arguments as of `demands`."""
        fits: Mask = np.all(self.demands(rows) <= rounded(limits.vector()), axis=1)
        return fits


class BranchAndBound:
    """Finds the combination of least cost within limits.

    Attributes:
        best: Rows of the best so far, one for each front; None where none was found.
        prices: On a unit of each of `LIMITED`, as they prove the most; zero where there is no limit.
    """

    def __init__(self, product: Product, costs: Sequence[Array], own_latency: int | None, limits: Array) -> None:
        """Leave out what no combination within the limits could have.

        Args:
            product: Of the fronts.
            costs: Of each model's subnets; they add up.
            own_latency: The model whose latency, waiting included, is to be least instead; costs are zero then.
            limits: In the order of `Limits.vector`.
        """
        self.best: tuple[int, ...] | None = None
        self.prices: Array = np.zeros(len(LIMITED))
        self._product = product
        self._models = len(costs)
        self._own_latency = own_latency
        self._limits = rounded(limits)
        self._value = inf
        self._costs = costs
        self._used = product.columns
        self._losses = [front.loss_points for front in product.fronts]
        self._computes = [front.latency_s for front in product.fronts]
        self._rows = self._within_reach()
        self._offset = 0.0
        self._bound = -inf
        self._priced = list(costs)

    def offer(self, rows: Sequence[Indices]) -> None:
        """Look at whole combinations, and keep the best if it beats the best so far."""
        demands = self._product.demands(rows)
        cost = np.sum([cost[row] for cost, row in zip(self._costs, rows, strict=True)], axis=0)
        if self._own_latency is not None:
            cost = demands[:, self._models + self._own_latency]
        cost = np.where((demands <= self._limits).all(axis=1), cost, inf)
        first = int(cost.argmin())
        if cost[first] < self._value:
            self._value = float(cost[first])
            self.best = tuple(int(row[first]) for row in rows)

    def run(self, allowance: int) -> int:
        """Search; returns how many partial combinations were looked at, more than allowed if it was cut."""
        if not all(len(rows) for rows in self._rows):
            return 0
        if self._own_latency is None:
            self._price()
        if self._value <= self._bound + ROUNDING * (1 + abs(self._value)):
            return 0
        looked_at = 0
        # The fewest first: what is dropped early is dropped for all that would have followed.
        order = sorted(range(self._models), key=lambda model: len(self._rows[model]))
        floors = self._floors(order)
        stack: list[tuple[int, list[Indices]]] = [(0, [])]
        while stack:
            depth, chosen = stack.pop()
            if depth == self._models:
                by_model = dict(zip(order, chosen, strict=True))
                self.offer([by_model[model] for model in range(self._models)])
                continue
            grown = self._grown(chosen, self._rows[order[depth]])
            looked_at += len(grown[0])
            if looked_at > allowance:
                break
            kept = self._alive(order[: depth + 1], grown, floors[depth + 1])
            grown = [rows[kept] for rows in grown]
            # The first chunk comes off the stack first, so that ties fall to the first rows.
            starts = range(0, len(kept), CHUNK)
            stack += [(depth + 1, [rows[at : at + CHUNK] for rows in grown]) for at in reversed(starts)]
        return looked_at

    def _within_reach(self) -> list[Indices]:
        """Rows of each model that some combination within the limits could have."""
        rows: list[Indices] = []
        least = np.array([used.min(axis=0) for used in self._used])
        for model, used in enumerate(self._used):
            others = np.delete(least, model, axis=0).sum(axis=0)
            demands = self._at_least(used + others, {model: np.arange(len(used))})
            rows.append(np.flatnonzero((demands <= self._limits).all(axis=1)))
        return rows

    def _at_least(self, used: Array, known: Mapping[int, Indices]) -> Array:
        """What combinations need at least, of which the rows of some models are known."""

        def own(values: Sequence[Array]) -> list[Array]:
            return [
                value[known[model]] if model in known else np.full(len(used), value.min())
                for model, value in enumerate(values)
            ]

        return combined_demands(used, own(self._losses), own(self._computes))

    def _price(self) -> None:
        """Prices on the limits of what adds up, and good combinations on the way."""
        limits = self._limits[2 * self._models :]
        bound = np.flatnonzero(np.isfinite(limits))
        # In shares of the limit, so that all prices are of one kind.
        scale = np.where(limits[bound] > 0, limits[bound], 1.0)
        shares = limits[bound] / scale
        columns = [np.array(LIMITED)[bound]] * self._models
        uses = [
            used[rows][:, column] / scale for used, rows, column in zip(self._used, self._rows, columns, strict=True)
        ]
        costs = [cost[rows] for cost, rows in zip(self._costs, self._rows, strict=True)]
        extent = sum(float(np.ptp(cost)) for cost in costs) or 1.0

        def cheapest(prices: Array) -> tuple[Array, Array, Array]:
            """The cheapest combination at some prices, shape ``(limits, n)``: bound, cost, excess over limits."""
            priced = [cost[:, None] + use @ prices for cost, use in zip(costs, uses, strict=True)]
            at = [each.argmin(axis=0) for each in priced]
            self.offer([rows[index] for rows, index in zip(self._rows, at, strict=True)])
            cost = np.sum([each[index] for each, index in zip(costs, at, strict=True)], axis=0)
            excess = np.sum([use[index] for use, index in zip(uses, at, strict=True)], axis=0) - shares
            return np.sum([each.min(axis=0) for each in priced], axis=0) - shares @ prices, cost, excess

        prices = np.zeros(len(bound))
        values, cost, excess = cheapest(np.outer(np.ones(len(bound)), TRIED_PRICES) * extent)
        best = float(values[0])
        master = Master(cost, excess, CEILING * extent)
        for _ in range(MOST_ROUNDS if len(bound) else 0):
            wanted, promised = master.solve()
            values, cost, excess = cheapest(wanted[:, None])
            if values[0] > best:
                best, prices = float(values[0]), wanted
            if min(promised, self._value) - best <= ROUNDING * (1 + abs(promised)):
                break
            master.add(cost, excess)
        self.prices[bound] = prices / scale
        self._offset = float(prices @ shares)
        self._bound = best
        self._priced = [
            cost + (used[:, column] / scale) @ prices
            for cost, used, column in zip(self._costs, self._used, columns, strict=True)
        ]

    def _floors(self, order: Sequence[int]) -> list[tuple[float, Array]]:
        """Behind each depth, the least priced cost and the least use of all models that are to come."""
        cost = [float(self._priced[model][self._rows[model]].min()) for model in order]
        used = [self._used[model][self._rows[model]].min(axis=0) for model in order]
        costs = [*accumulate(reversed(cost), initial=0.0)]
        uses = [*accumulate(reversed(used), initial=np.zeros(used[0].shape))]
        return list(zip(reversed(costs), reversed(uses), strict=True))

    @staticmethod
    def _grown(chosen: list[Indices], rows: Indices) -> list[Indices]:
        """Every partial combination with every row of the next model."""
        if not chosen:
            return [rows]
        count = len(chosen[0])
        return [*(np.repeat(each, len(rows)) for each in chosen), np.tile(rows, count)]

    def _alive(self, models: Sequence[int], chosen: list[Indices], floor: tuple[float, Array]) -> Indices:
        """Which partial combinations may still become the best."""
        pairs = list(zip(models, chosen, strict=True))
        priced = np.sum([self._priced[model][rows] for model, rows in pairs], axis=0) + floor[0] - self._offset
        # Prices magnify rounding, so what is as good as the best known is kept.
        doubt = DOUBT * (1 + abs(self._value)) if self._value < inf else 0.0
        alive = np.flatnonzero(priced <= self._value + doubt)
        known = {model: rows[alive] for model, rows in pairs}
        used = np.sum([self._used[model][rows] for model, rows in known.items()], axis=0) + floor[1]
        demands = self._at_least(used, known)
        fits = (demands <= self._limits).all(axis=1)
        if self._own_latency is not None:
            fits &= demands[:, self._models + self._own_latency] < self._value
        return alive[fits]
