from __future__ import annotations

from itertools import permutations, product
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adaspring.decide import search
from adaspring.decide.dual import ascend
from adaspring.decide.evolve import evolve, swap_pairs
from adaspring.decide.problem import LATENCY, MEMORY, QUANTITIES, Problem, Quantity
from adaspring.decide.quest import Quest
from adaspring.decide.search import POPULATIONS, Deadline, Found, Incumbent, Search
from adaspring.space import Genome, SearchSpace
from adaspring.tables import SlotTable

ORDERS = st.sampled_from(list(permutations(QUANTITIES)))
SEEDS = st.integers(0, 2**32 - 1)


class Instance:
    """Random tables over a space, and what every one of its subnets uses by them."""

    def __init__(self, space: SearchSpace, seed: int, *, activations: bool = True, paired: bool = False) -> None:
        """Draw tables, with activation memory or without, and with pairs of blocks for accuracy or without."""
        rng = np.random.default_rng(seed)
        shape = (len(space.spec.precisions), *space.legal.shape)

        def table(low: float) -> SlotTable:
            values = rng.uniform(low, 1.0, shape)
            values[:, ~space.legal] = np.inf
            return SlotTable(values, rng.random((shape[0], shape[2])))

        # Accuracy may be lost or won; the scale of each quantity is its own.
        scales = (10.0, 300.0, 2.0, 1.5)
        tables = {name: table(-0.3 if name == "accuracy" else 0.0) for name in QUANTITIES}
        if paired:
            blocks = int(space.first_choice[-1]) + 1
            pairs = rng.uniform(-0.5, 0.5, (blocks, blocks)) * ~np.append(space.skips, np.False_)
            tables["accuracy"] = SlotTable(tables["accuracy"].values, tables["accuracy"].head, pairs)
        tables = {name: made.scaled(scale) for (name, made), scale in zip(tables.items(), scales, strict=True)}
        peak = table(0.0) if activations else SlotTable(np.zeros(shape), np.zeros((shape[0], shape[2])))
        peak = SlotTable(peak.values, np.zeros_like(peak.head))
        self.problem = Problem(space, tables, peak)
        limits = [*space.choice_counts.tolist(), shape[0]]
        self.genomes: Genome = np.array(list(product(*(range(limit) for limit in limits))), dtype=np.int16)
        self.use = np.stack([tables[name].evaluate(space, self.genomes) for name in QUANTITIES], axis=1)
        widths = space.running_widths(self.genomes)
        entries = peak.values[self.genomes[:, -1:], np.arange(space.slot_count), widths[:, :-1], self.genomes[:, :-1]]
        self.use[:, MEMORY] += entries.max(axis=1)
        self.additive = self.use.copy()
        self.additive[:, MEMORY] -= entries.max(axis=1)
        self.weights = rng.random(len(QUANTITIES)) * np.array([1.0, 0.0, 1.0, 0.0]) / np.array(scales)
        self.rng = rng

    def budgets(self, share: float) -> np.ndarray:
        """Budgets at which about this share of subnets, for each quantity that is bound, fits."""
        budgets = np.quantile(self.use, share, axis=0)
        budgets[self.rng.random(len(QUANTITIES)) < 0.3] = np.inf
        return budgets

    def fits(self, budgets: np.ndarray) -> np.ndarray:
        """Who meets budgets."""
        fits: np.ndarray = np.all(self.use <= budgets + 1e-8, axis=1)
        return fits

    def search(self, budgets: np.ndarray, **options: object) -> Found:
        """Search with defaults that suit a test."""
        defaults = {
            "relaxation": QUANTITIES,
            "incumbent": None,
            "seed": 0,
            "deadline": Deadline(lambda: 0.0, 1.0),
        }
        full = self.problem.trellis.space.full()[None]
        return Search(self.problem, full).run(self.weights, budgets, **{**defaults, **options})  # type: ignore[arg-type]


@settings(deadline=None, max_examples=60)
@given(SEEDS, st.floats(0.05, 1.0))
def test_the_best_subnet_is_found_and_proven(space: SearchSpace, seed: int, share: float) -> None:
    """Against brute force: the optimum is found where there is one, the bound never lies above it."""
    assert_proven(Instance(space, seed), share)


@settings(deadline=None, max_examples=30)
@given(SEEDS, st.floats(0.05, 1.0))
def test_the_best_is_proven_where_blocks_tell_of_each_other(
    space: SearchSpace, residual_space: SearchSpace, seed: int, share: float
) -> None:
    """The same where accuracy holds pairs of blocks: the bound holds for them, and is as near."""
    for some in (space, residual_space):
        assert_proven(Instance(some, seed, paired=True), share)


@settings(deadline=None, max_examples=30)
@given(SEEDS, st.floats(0.05, 1.0))
def test_the_best_of_residual_stages_is_found_and_proven(residual_space: SearchSpace, seed: int, share: float) -> None:
    """The same where stages hold their width, so that blocks share it and skips lie between them."""
    assert_proven(Instance(residual_space, seed), share)


def assert_proven(instance: Instance, share: float) -> None:
    """The search finds the optimum among the subnets that brute force looked at."""
    budgets = instance.budgets(share)
    found = instance.search(budgets)
    fits = instance.fits(found.allowed)
    optimum = (instance.additive @ instance.weights)[fits].min()
    assert found.objective == pytest.approx(optimum, rel=1e-5)
    assert found.bound <= optimum + 1e-9
    assert found.bound == pytest.approx(optimum, rel=1e-5)
    assert found.relaxed == () or not instance.fits(budgets).any()


@settings(deadline=None, max_examples=60)
@given(SEEDS, ORDERS, st.floats(0.001, 0.1))
def test_budgets_give_way_in_the_declared_order(
    space: SearchSpace, seed: int, order: tuple[str, ...], share: float
) -> None:
    """Against brute force: each budget is exceeded by the least that those ranked above it permit."""
    instance = Instance(space, seed, activations=False)
    budgets = np.quantile(instance.use, share, axis=0)
    found = instance.search(budgets, relaxation=order)
    expected = np.full(len(QUANTITIES), np.inf)
    for name in reversed(order):
        index = QUANTITIES.index(name)
        least = instance.use[instance.fits(expected), index].min()
        expected[index] = max(budgets[index], least)
    np.testing.assert_allclose(expected, found.allowed, rtol=1e-6)
    assert tuple(name for name in order if expected[QUANTITIES.index(name)] > budgets[QUANTITIES.index(name)]) == (
        found.relaxed
    )
    chosen = instance.genomes[instance.fits(found.allowed)]
    assert (chosen == found.genome).all(axis=1).any()


@settings(deadline=None, max_examples=40)
@given(SEEDS, st.floats(0.1, 1.0), st.floats(0.0, 0.2))
def test_the_incumbent_stays_unless_another_is_better_by_the_switching_cost(
    space: SearchSpace, seed: int, share: float, cost: float
) -> None:
    """The running subnet is left exactly if the best other one gains more than the switch costs."""
    instance = Instance(space, seed)
    budgets = instance.budgets(share)
    fits = instance.fits(budgets)
    if not fits.any():
        return
    objective = instance.additive @ instance.weights
    row = int(instance.rng.choice(np.flatnonzero(fits)))
    found = instance.search(budgets, incumbent=Incumbent(instance.genomes[row], switching_cost=cost))
    best = objective[fits].min()
    if objective[row] <= best + cost:
        np.testing.assert_array_equal(instance.genomes[row], found.genome)
        assert found.objective == pytest.approx(objective[row])
    else:
        assert found.objective == pytest.approx(best + cost, rel=1e-5)
    assert found.bound <= min(objective[row], best + cost) + 1e-9


@settings(deadline=None, max_examples=30)
@given(SEEDS, st.floats(0.01, 1.0), st.integers(0, 40))
def test_there_is_an_answer_at_any_deadline(space: SearchSpace, seed: int, share: float, looks: int) -> None:
    """Whenever the deadline bites, the answer meets the budgets that it states, and the bound holds."""
    instance = Instance(space, seed)
    ticks = iter(range(10_000))
    allowed = instance.budgets(share)
    found = instance.search(allowed, deadline=Deadline(lambda: float(next(ticks)), float(looks)))
    fits = instance.fits(found.allowed)
    assert (instance.genomes[fits] == found.genome).all(axis=1).any()
    assert found.bound <= (instance.additive @ instance.weights)[fits].min() + 1e-9
    assert (found.ended_at_look is None) == (next(ticks) <= looks)
    # Cut at the same look, whatever the clock says, it comes out the same.
    again = instance.search(allowed, deadline=Deadline.at_look(found.ended_at_look))
    np.testing.assert_array_equal(found.genome, again.genome)
    assert (found.objective, found.bound, found.ended_at_look) == (again.objective, again.bound, again.ended_at_look)


@pytest.mark.parametrize("populations", [POPULATIONS, (1, 2)])
@settings(deadline=None, max_examples=20)
@given(seed=SEEDS, share=st.floats(0.05, 1.0))
def test_the_same_seed_gives_the_same_answer(
    space: SearchSpace, populations: tuple[int, ...], seed: int, share: float
) -> None:
    """A search can be made again, even where populations are so small that chance has to help."""
    instance = Instance(space, seed)
    budgets = instance.budgets(share)
    with patch.object(search, "POPULATIONS", populations):
        first, second = (instance.search(budgets, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first.genome, second.genome)
    assert (first.objective, first.bound) == (second.objective, second.bound)


@settings(deadline=None, max_examples=40)
@given(SEEDS, st.floats(0.05, 0.5), st.sampled_from([1, 3, 10]))
def test_what_a_small_population_cannot_prove_it_does_not_claim(
    space: SearchSpace, seed: int, share: float, population: int
) -> None:
    """A population cut to size keeps the bound valid, and pair swaps never make things worse."""
    instance = Instance(space, seed)
    budgets = instance.budgets(share)
    fits = instance.fits(budgets)
    weights = instance.weights * instance.problem.scale
    known = instance.problem.of_genomes(space.full()[None])
    quest = Quest(instance.problem, weights, budgets / instance.problem.scale, known)
    prices = ascend(quest, lambda: False)
    if prices is None or not fits.any():
        return
    optimum = (instance.additive @ instance.weights)[fits].min()
    complete = evolve(quest, prices, population, lambda: False)
    assert quest.bound <= optimum + 1e-9 or quest.value == pytest.approx(optimum, rel=1e-5)
    if complete:
        assert quest.value == pytest.approx(optimum, rel=1e-5)
    before = quest.value
    swap_pairs(quest, np.random.default_rng(0), lambda: False)
    assert optimum - 1e-9 <= quest.value <= before
    if quest.best is not None:
        assert instance.problem.fits(instance.problem.evaluate(quest.best[None]), quest.budgets).all()


def test_activations_that_break_the_memory_budget_are_masked(space: SearchSpace) -> None:
    """The peak counts: a subnet whose parameters fit but whose activations do not is refused."""
    instance = Instance(space, 5)
    free = instance.search(np.full(4, np.inf))
    row = int((instance.genomes == free.genome).all(axis=1).argmax())
    budgets = np.full(4, np.inf)
    # Room for the parameters of the free optimum, but not for all of its activations.
    budgets[MEMORY] = (instance.additive[row, MEMORY] + instance.use[row, MEMORY]) / 2
    found = instance.search(budgets)
    assert found.relaxed == ()
    optimum = (instance.additive @ instance.weights)[instance.fits(budgets)].min()
    assert found.objective == pytest.approx(optimum, rel=1e-5)
    assert found.objective > free.objective


@settings(deadline=None, max_examples=60)
@given(SEEDS, st.floats(0.002, 0.6), st.floats(0.0, 0.05), ORDERS)
def test_budgets_that_waver_within_the_slack_bring_no_subnet_back(
    space: SearchSpace, seed: int, share: float, cost: float, relaxation: tuple[Quantity, ...]
) -> None:
    """However hostile the order of budgets within a band, met or not, what was left is not taken up again."""
    instance = Instance(space, seed)
    slack, steady = 0.1, instance.budgets(share)
    wavers = [name != "accuracy" for name in QUANTITIES]
    incumbent: Incumbent | None = None
    left: set[bytes] = set()
    for _ in range(24):
        stretch = np.where(wavers, 1 + slack * instance.rng.choice([0.0, 1.0, instance.rng.random()], 4), 1.0)
        found = instance.search(steady * stretch, incumbent=incumbent, relaxation=relaxation)
        assert found.genome.tobytes() not in left
        if incumbent is not None and not np.array_equal(found.genome, incumbent.genome):
            left.add(incumbent.genome.tobytes())
        incumbent = Incumbent(found.genome, switching_cost=cost, slack=slack)


@settings(deadline=None, max_examples=40)
@given(SEEDS, st.floats(0.5, 1.0))
def test_the_incumbent_is_judged_by_its_own_frames(space: SearchSpace, seed: int, ratio: float) -> None:
    """A subnet that the table holds for too slow, and that measured quick enough, is kept where it is the best."""
    instance = Instance(space, seed)
    row = int(np.argmin(instance.additive @ instance.weights))
    budgets = np.full(4, np.inf)
    budgets[LATENCY] = instance.use[row, LATENCY] * ratio
    kept = instance.search(budgets, incumbent=Incumbent(instance.genomes[row], latency_ratio=ratio))
    np.testing.assert_array_equal(instance.genomes[row], kept.genome)
    assert not kept.relaxed
