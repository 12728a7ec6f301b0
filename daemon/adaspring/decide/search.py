"""The search: from weights and budgets to the best subnet, with a proof of how good it is.

A search is a dual ascent (`dual`), then one or two generations of evolution
(`evolve`), started from the atlas and the subnet that is running. Where no subnet
meets all budgets, they are relaxed in the declared order, each by the least that
those ranked above it permit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from math import inf

import numpy as np

from adaspring.decide.dual import ascend
from adaspring.decide.evolve import evolve, swap_pairs
from adaspring.decide.problem import ACCURACY, LATENCY, QUANTITIES, Array, Candidates, Problem, Quantity
from adaspring.decide.quest import Quest
from adaspring.space import Genome
from adaspring.tables import nondominated

#: Populations of the generations. The second is taken only where the first had to be cut
#: to size; what that found lets most of the second die early.
POPULATIONS = (128, 1024)
#: Optima of random weightings that every search starts from, and the spread of the weights
#: (standard deviation of their logarithm). They cost a few milliseconds, once.
WEIGHTINGS = 256
SPREAD = 2.0


@dataclass(frozen=True, slots=True)
class Incumbent:
    """The subnet that runs: the devil that is known.

    What budgets a context allows wavers with every reading behind it, and a subnet at the
    edge of a budget would be left and taken up again with them. So the one that runs is
    held to its budgets with some slack. Budgets that waver by no more than the slack make
    a search return to no subnet that it left: each that it moves to is nearer to a budget
    that had to give, or scores better by the switching cost.

    Attributes:
        genome: Which.
        latency_ratio: Its latency over what the corrected table says, where its own frames told.
        switching_cost: What any other subnet costs on top, in the unit of the objective.
        slack: Share by which it may exceed a budget. That of accuracy is a floor that does
            not waver, and has slack only where it had to give.
    """

    genome: Genome
    latency_ratio: float = 1.0
    switching_cost: float = 0.0
    slack: float = 0.0


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found.

    Attributes:
        genome: The subnet.
        objective: Its weighted use, plus the switching cost if it is not the incumbent.
        bound: No subnet within the budgets as relaxed has a smaller objective.
        allowed: The budgets as relaxed, each in its unit, shape ``(4,)``; those that the incumbent
            exceeds within its slack are what it uses.
        relaxed: The budgets that had to give, in the declared order.
        ended_at_look: The look at which the deadline ended the search (see `Deadline`); None
            where it ended by itself.
        seen: Every subnet looked at, the chosen one among them.
        objectives: Their objectives, shape ``(n,)``.
    """

    genome: Genome
    objective: float
    bound: float
    allowed: Array
    relaxed: tuple[Quantity, ...]
    ended_at_look: int | None
    seen: Candidates
    objectives: Array


class Deadline:
    """Whether time is up, and at which look that was found.

    A search looks at its deadline at places that follow from its inputs alone. So one that
    time cut short can be repeated exactly on any machine, by cutting it at the same look.

    Attributes:
        passed_at: The how-manieth look found that time was up; None while none did.
    """

    def __init__(self, clock: Callable[[], float], at_s: float) -> None:
        """Set a deadline on a monotonic clock, in seconds."""
        self._clock = clock
        self._at_s = at_s
        self._looks = 0
        self.passed_at: int | None = None

    @classmethod
    def at_look(cls, look: int | None) -> Deadline:
        """A deadline that passes at a given look, or never."""
        looks = count(1)
        return cls(lambda: float(next(looks)), inf if look is None else float(look))

    def __call__(self) -> bool:
        """Ask whether time is up."""
        if self.passed_at is None:
            self._looks += 1
            if self._clock() >= self._at_s:
                self.passed_at = self._looks
        return self.passed_at is not None


class Search:
    """Searches one problem, over and over."""

    def __init__(self, problem: Problem, known: Genome) -> None:
        """Prepare for a problem.

        Args:
            problem: The space and its quantities.
            known: Good subnets of any kind to start from (the atlas), shape ``(n, slots + 1)``.
        """
        self.problem = problem
        weightings = np.exp(np.random.default_rng(0).normal(0.0, SPREAD, (len(QUANTITIES), WEIGHTINGS)))
        optima = np.unique(problem.trellis.solve(problem.use @ weightings).edges, axis=0)
        self._known = problem.extremes.joined(problem.evaluate(optima)).joined(problem.of_genomes(known))

    @cached_property
    def front(self) -> Genome:
        """Of the subnets that every search starts from, those that no other beats; shape ``(n, slots + 1)``."""
        best = nondominated(self.problem.total(self._known))
        genomes: Genome = np.unique(self.problem.trellis.genomes(self._known.edges[best]), axis=0)
        return genomes

    def run(
        self,
        weights: Array,
        budgets: Array,
        *,
        relaxation: Sequence[Quantity],
        incumbent: Incumbent | None,
        seed: int,
        deadline: Deadline,
    ) -> Found:
        """Find the subnet of least weighted use within budgets.

        Args:
            weights: Weight of each of `QUANTITIES` per unit of it, shape ``(4,)``, none negative.
            budgets: Most of each, in its unit, shape ``(4,)``; infinite where there is none.
            relaxation: All quantities; the first gives way first.
            incumbent: The subnet that is running.
            seed: Seed of all randomness.
            deadline: After which the best so far is taken.
        """
        weights = weights * self.problem.scale
        allowed = budgets / self.problem.scale
        known = self._known
        handicap, grace = 0.0, _NO_GRACE
        if incumbent is not None:
            running = self.problem.of_genomes(incumbent.genome[None])
            running.use[:, LATENCY] *= incumbent.latency_ratio
            known = running.joined(known)
            handicap = incumbent.switching_cost
            grace = _Grace(self.problem.total(running)[0], incumbent.slack)
        held = allowed = grace.of_wavering(allowed)
        quest = self._pursue(weights, allowed, known, seed=seed, deadline=deadline, handicap=handicap)
        if not self.problem.fits(quest.seen, allowed).any():
            allowed, known = self._relax(allowed, relaxation, quest.seen, grace, seed=seed, deadline=deadline)
            quest = self._pursue(weights, allowed, known, seed=seed, deadline=deadline, handicap=handicap)
        objectives = quest.seen.use @ weights + handicap
        objectives[: int(incumbent is not None)] -= handicap
        fits = self.problem.fits(quest.seen, allowed)
        chosen = int(np.where(fits, objectives, np.inf).argmin())
        given = allowed > held
        return Found(
            genome=self.problem.trellis.genomes(quest.seen.edges[chosen][None])[0],
            objective=float(objectives[chosen]),
            bound=min(quest.bound + handicap, float(objectives[chosen])),
            allowed=np.where(allowed > budgets / self.problem.scale, allowed * self.problem.scale, budgets),
            relaxed=tuple(name for name in relaxation if given[QUANTITIES.index(name)]),
            ended_at_look=deadline.passed_at,
            seen=quest.seen,
            objectives=objectives,
        )

    def _pursue(
        self,
        weights: Array,
        budgets: Array,
        known: Candidates,
        *,
        seed: int,
        deadline: Deadline,
        handicap: float = 0.0,
    ) -> Quest:
        # With a handicap the first of the known is the incumbent, and others have to beat it by that.
        ceiling = np.inf
        if handicap and self.problem.fits(known, budgets)[0]:
            ceiling = float(known.use[0] @ weights) - handicap
        quest = Quest(self.problem, weights, budgets, known, ceiling)
        prices = ascend(quest, deadline)
        for population in POPULATIONS:
            if prices is None or quest.closed() or deadline() or evolve(quest, prices, population, deadline):
                break
        else:
            swap_pairs(quest, np.random.default_rng(seed), deadline)
        return quest

    def _relax(
        self,
        budgets: Array,
        relaxation: Sequence[Quantity],
        known: Candidates,
        grace: _Grace,
        *,
        seed: int,
        deadline: Deadline,
    ) -> tuple[Array, Candidates]:
        """Budgets that can be met, and who meets them: the last to give way first, each as near as can be."""
        allowed = np.full(len(QUANTITIES), np.inf)
        for name in reversed(relaxation):
            index = QUANTITIES.index(name)
            narrowed = allowed.copy()
            narrowed[index] = budgets[index]
            if not self.problem.fits(known, narrowed).any():
                alone = np.eye(len(QUANTITIES))[index]
                least = self._pursue(alone, allowed, known, seed=seed, deadline=deadline)
                known = least.seen
                excess = self.problem.excess(known, narrowed)[:, index]
                nearest = float(excess[self.problem.fits(known, allowed)].min())
                narrowed[index] = grace.of_one(index, narrowed[index] + max(0.0, nearest))
            allowed = narrowed
        return allowed, known


@dataclass(frozen=True, slots=True)
class _Grace:
    """Budgets stretched to what the incumbent uses, where that is within its slack.

    Attributes:
        use: Of the incumbent, scaled, peak included, shape ``(4,)``.
        slack: Share.
    """

    use: Array
    slack: float

    def of_wavering(self, budgets: Array) -> Array:
        """All scaled budgets but the floor of accuracy."""
        stretched = np.array([self.of_one(index, budget) for index, budget in enumerate(budgets.tolist())])
        stretched[ACCURACY] = budgets[ACCURACY]
        return stretched

    def of_one(self, index: int, budget: float) -> float:
        """One scaled budget."""
        use = float(self.use[index])
        return use if budget < use <= budget + self.slack * abs(budget) else budget


#: Where nothing runs, nothing is to be kept.
_NO_GRACE = _Grace(np.zeros(len(QUANTITIES)), 0.0)
