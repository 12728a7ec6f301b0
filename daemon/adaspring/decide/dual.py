"""Lagrangian dual ascent: prices on the budgets, a proven bound, and good subnets on the way.

For any prices, the least of objective plus priced excess over all subnets is a lower
bound for every subnet that meets the budgets, and a Viterbi pass gives it exactly.
The master problem says which prices to try next; a batch around its answer costs
little more than one and steadies the ascent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from adaspring.decide.master import Master
from adaspring.decide.problem import Array
from adaspring.decide.quest import Quest

#: Viterbi passes of one ascent at most; one to three do for most contexts.
MAX_ROUNDS = 8
#: The ascent ends when the master promises less than this share of the bound; what
#: is left is closed sooner by the evolution.
SETTLED = 3e-3
#: Factors on the master's prices in the first batch. Without prices (0) comes the subnet
#: that would be chosen if there were no budgets.
FIRST = np.array([1.0, 0.0, 0.85, 1.15, 1.5])[:, None]
#: Where later batches lie between the best prices so far (0) and the master's (1).
BLEND = np.array([1.0, 0.75, 0.5, 0.25])[:, None]
#: Price, in ranges of the objective, at which a budget may be exceeded by all of its range.
CEILING = 100.0


@dataclass(frozen=True, slots=True)
class Prices:
    """The prices with the best bound.

    Attributes:
        weights: Weights of the objective plus prices, shape ``(4,)``.
        offset: Prices times budgets: least priced use less this is the bound.
        to_go: Least priced use from each state to the end, shape ``(states,)``.
    """

    weights: Array
    offset: float
    to_go: Array


def ascend(quest: Quest, expired: Callable[[], bool]) -> Prices | None:
    """Raise the bound of a quest as far as prices can.

    At least one pass is made, whatever the time, so that there is a bound.

    Returns:
        The best prices; None where nothing is left to gain.
    """
    if quest.closed():
        return None
    objective = quest.seen.use @ quest.weights
    master = Master(objective, quest.additive_excess(quest.seen), CEILING * float(np.ptp(objective) or 1.0))
    wanted, _ = master.solve()
    batch = FIRST * wanted if len(quest.active) else wanted[None]
    prices: Prices | None = None
    best = wanted
    for _ in range(MAX_ROUNDS):
        weights = np.repeat(quest.weights[None], len(batch), axis=0)
        weights[:, quest.active] += batch
        paths = quest.problem.trellis.solve(quest.priced(weights.T))
        offsets = batch @ quest.additive_budgets[quest.active]
        bounds = paths.values - offsets
        lane = int(bounds.argmax())
        if prices is None or bounds[lane] > quest.bound:
            quest.bound = max(quest.bound, float(bounds[lane]))
            prices = Prices(weights[lane], float(offsets[lane]), paths.to_go[:, lane].copy())
            best = batch[lane]
        if quest.bound == np.inf:
            # Every path is masked: there is nothing to look at.
            break
        found = quest.look_at(paths.edges)
        if quest.closed() or not len(quest.active) or expired():
            break
        master.add(found.use @ quest.weights, quest.additive_excess(found))
        wanted, promised = master.solve()
        if promised - quest.bound <= SETTLED * abs(promised):
            break
        batch = best + BLEND * (wanted - best)
    return prices
