from __future__ import annotations

from dataclasses import replace
from itertools import permutations, product
from math import inf

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from adaspring.decide import branching, joint
from adaspring.decide.demands import Front, Limits, Load, yielding_order
from adaspring.decide.joint import Combination, Market
from adaspring.decide.problem import QUANTITIES, Array

#: Rounding that two ways to add the same numbers may differ by.
CLOSE = 1e-6


def load_of(rates_hz: list[float], waiting: list[float]) -> Load:
    """Frames that come and that wait."""
    rates = np.array(rates_hz)
    return Load(rates, np.maximum(rates, 0.1), np.array(waiting))


def instance(seed: int, models: int, members: int) -> tuple[list[Front], Load, Limits]:
    """Random fronts, and limits that some of their combinations meet, or none."""
    rng = np.random.default_rng(seed)
    fronts = []
    for _ in range(models):
        count = int(rng.integers(1, members + 1))
        fronts.append(Front(*(rng.uniform(0.1, 1.0, count) * scale for scale in (1.0, 8.0, 5e-3, 3.0, 2.0))))
    load = load_of(rng.choice([0.0, 20.0, 150.0], models).tolist(), rng.choice([0.0, 3.0], models).tolist())
    every = all_demands(fronts, load)
    share = rng.uniform(0.02, 0.9)
    vector = np.quantile(np.where(np.isfinite(every), every, 1.0), share, axis=0) * rng.uniform(0.7, 1.1)
    vector[rng.random(len(vector)) < 0.3] = inf
    return fronts, load, Limits.of_vector(vector)


def rows_of(fronts: list[Front]) -> list[tuple[int, ...]]:
    """Every combination."""
    return list(product(*(range(len(front)) for front in fronts)))


def all_demands(fronts: list[Front], load: Load) -> Array:
    """What every combination needs, worked out one by one in plain Python."""
    every = []
    for rows in rows_of(fronts):
        taken = [front.take(np.array([row])) for front, row in zip(fronts, rows, strict=True)]
        compute = [float(front.latency_s[0]) for front in taken]
        busy = sum(rate_hz * each for rate_hz, each in zip(load.rates_hz, compute, strict=True))
        residual = sum(rate_hz * each**2 / 2 for rate_hz, each in zip(load.rates_hz, compute, strict=True))
        backlog = sum(waiting * each for waiting, each in zip(load.waiting, compute, strict=True))
        wait = max(backlog, residual / (1 - busy) if busy < 1 else inf)
        power = sum(
            rate_hz * float(front.energy_mj[0]) for rate_hz, front in zip(load.energy_rates_hz, taken, strict=True)
        )
        memory = sum(float(front.memory_mib[0]) for front in taken)
        losses = [float(front.loss_points[0]) for front in taken]
        every.append([*losses, *(each + wait for each in compute), busy, power, memory])
    return np.array(every)


def by_brute_force(fronts: list[Front], load: Load, limits: Limits, yielding: list[int]) -> tuple[float, Array]:
    """Least objective, and the limits as relaxed, by looking at every combination."""
    every, wanted = all_demands(fronts, load), limits.vector()
    objectives = np.array(
        [sum(float(front.objective[row]) for front, row in zip(fronts, rows, strict=True)) for rows in rows_of(fronts)]
    )
    allowed = wanted
    if not (every <= wanted + CLOSE).all(axis=1).any():
        allowed = np.full(len(wanted), inf)
        for index in reversed(yielding):
            fits = (every <= allowed + CLOSE).all(axis=1)
            allowed[index] = max(wanted[index], every[fits, index].min())
    fits = (every <= allowed + CLOSE).all(axis=1)
    return float(objectives[fits].min()), allowed


@settings(deadline=None, max_examples=150)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.sampled_from([1, 3, 7]))
def test_it_is_as_good_as_brute_force(seed: int, models: int, members: int) -> None:
    """Objective and relaxed limits are those of looking at every combination, whatever gives way first."""
    fronts, load, limits = instance(seed, models, members)
    yielding = np.random.default_rng(seed).permutation(2 * models + 3).tolist()
    found = Market(fronts, load).best(limits, yielding)
    objective, allowed = by_brute_force(fronts, load, limits, yielding)
    assert found.proven
    np.testing.assert_allclose(found.limits.vector(), allowed, rtol=CLOSE, atol=CLOSE)
    assert found.objective == pytest.approx(objective, rel=CLOSE)
    needs = all_demands(fronts, load)[rows_of(fronts).index(found.rows)]
    assert (needs <= found.limits.vector() + CLOSE).all()
    assert found.relaxed == tuple(index for index in yielding if allowed[index] > limits.vector()[index] + CLOSE)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_it_is_exact_in_small_chunks(seed: int) -> None:
    """How many partial combinations are looked at together changes nothing."""
    fronts, load, limits = instance(seed, 3, 7)
    yielding = list(range(9))
    whole = Market(fronts, load).best(limits, yielding)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(branching, "CHUNK", 2)
        assert Market(fronts, load).best(limits, yielding).objective == pytest.approx(whole.objective, rel=CLOSE)


def big_instance(scale: float) -> tuple[list[Front], Load, Limits]:
    """Three fronts of two hundred subnets, where more memory buys a better score, and a share of what all want."""
    rng = np.random.default_rng(7)
    fronts = []
    for weight in (8.0, 2.0, 1.0):
        size = np.sort(rng.uniform(0.2, 2.0, 200))
        score = weight * (1 / size + rng.uniform(0.0, 0.05, 200))
        fronts.append(Front(score, 4 / size, size * 1e-3, size, size))
    return fronts, load_of([50.0] * 3, [0.0] * 3), Limits(np.full(3, 100.0), np.full(3, 0.1), 0.9, inf, 6.0 * scale)


@pytest.mark.parametrize("scale", [0.15, 0.3, 0.6, 1.0])
def test_prices_spare_most_of_the_product(scale: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of eight million combinations a small share is looked at, and the outcome is proven nevertheless."""
    fronts, load, limits = big_instance(scale)
    monkeypatch.setattr(joint, "MOST_LOOKED_AT", 400_000)
    assert Market(fronts, load).best(limits, list(range(9))).proven


def test_what_is_cut_short_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """With no time to look, the outcome keeps to the limits, but is not called proven."""
    fronts, load, limits = big_instance(0.3)
    monkeypatch.setattr(joint, "MOST_LOOKED_AT", 0)
    found = Market(fronts, load).best(limits, list(range(9)))
    assert not found.proven
    sizes = [front.memory_mib[row] for front, row in zip(fronts, found.rows, strict=True)]
    assert sum(sizes) <= limits.memory_mib


def two_models() -> tuple[list[Front], Load, Limits]:
    """Two models alike, each with a large and a small subnet, and memory for one large one."""
    front = Front(np.array([0.0, 1.0]), np.array([0.0, 9.0]), np.full(2, 1e-3), np.ones(2), np.array([4.0, 1.0]))
    first = replace(front, objective=front.objective * 2)
    return [first, front], load_of([10.0] * 2, [0.0] * 2), Limits(np.full(2, 5.0), np.full(2, 1.0), 0.6, inf, 5.0)


def test_weight_decides_who_keeps_the_memory() -> None:
    """Where both may lose as much, the one that counts more keeps its large subnet."""
    fronts, load, limits = two_models()
    loose = replace(limits, loss_points=np.full(2, 20.0))
    assert Market(fronts, load).best(loose, list(range(7))).rows == (0, 1)


def test_limits_give_way_in_the_order_that_is_asked_for() -> None:
    """Where not all limits can be met, the one named first gives way, and only as far as it must."""
    fronts, load, limits = two_models()
    rest = [2, 3, 4, 5, 6]
    outcomes: dict[tuple[int, ...], Combination] = {
        order: Market(fronts, load).best(limits, [*order, *rest]) for order in permutations((0, 1))
    }
    assert outcomes[1, 0].rows == (0, 1)
    assert outcomes[1, 0].relaxed == (1,)
    assert outcomes[1, 0].limits.loss_points.tolist() == [5.0, 9.0]
    assert outcomes[0, 1].rows == (1, 0)
    assert outcomes[0, 1].relaxed == (0,)


def test_one_model_makes_the_other_wait() -> None:
    """Frames of one wait for those of the other: the more the other computes, the less each may take."""
    quick = Front(np.array([0.0, 0.5]), np.zeros(2), np.array([4e-3, 1e-3]), np.ones(2), np.ones(2))
    slow = Front(np.array([0.0]), np.zeros(1), np.array([20e-3]), np.ones(1), np.ones(1))
    limits = Limits(np.full(2, 5.0), np.array([8e-3, 0.1]), 0.9, inf, inf)
    rows = [
        Market([quick, slow], load_of([10.0, rate], [0.0] * 2)).best(limits, list(range(7))).rows
        for rate in (0.0, 25.0)
    ]
    assert rows == [(0, 0), (1, 0)]


def test_an_engine_that_cannot_keep_up_takes_what_busies_it_least() -> None:
    """Where frames come faster than any subnet can answer them, waits have no bound, and the least work is chosen."""
    front = Front(np.array([0.0, 1.0]), np.zeros(2), np.array([30e-3, 20e-3]), np.ones(2), np.ones(2))
    limits = Limits(np.array([5.0]), np.array([0.1]), 0.6, inf, inf)
    found = Market([front], load_of([100.0], [0.0])).best(limits, [3, 0, 1, 2, 4])
    assert found.rows == (1,)
    assert found.limits.utilisation == pytest.approx(2.0)


@settings(deadline=None, max_examples=150)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3))
def test_what_is_left_is_all_that_keeps_everybody_within_limits(seed: int, models: int) -> None:
    """At the most compute that a model is left with, all limits of latency hold; a little more breaks one."""
    fronts, load, _ = instance(seed, models, 1)
    every = all_demands(fronts, load)[0]
    assume(np.isfinite(every).all() and every[2 * models] < 0.9)
    rng = np.random.default_rng(seed)
    loose = Limits.of_vector(np.where(np.isfinite(every), every, 0.0) * rng.uniform(1.0, 2.0, len(every)))
    limits = replace(loose, loss_points=np.full(models, inf), power_mw=inf, memory_mib=inf)
    computes = np.array([float(front.latency_s[0]) for front in fronts])
    most = load.left_s(0, np.where(np.arange(models) == 0, np.nan, computes), limits)

    def holds(compute_s: float) -> bool:
        changed = [replace(fronts[0], latency_s=np.array([compute_s])), *fronts[1:]]
        return bool((all_demands(changed, load)[0] <= limits.vector() + CLOSE * 1e-3).all())

    assert most >= computes[0] * (1 - CLOSE)
    assert holds(most)
    assert not holds(most * 1.01 + 1e-5)


def test_the_lowest_priority_gives_way_in_all_it_has_for_itself_before_the_next() -> None:
    """By the default order: power, then accuracy and latency model by model, memory last; every limit once."""
    names = ["accuracy 1", "accuracy 2", "latency 1", "latency 2", "busy", "power", "memory"]
    order = [names[index] for index in yielding_order(("energy", "accuracy", "latency", "memory"), 2)]
    assert order == ["power", "accuracy 2", "latency 2", "accuracy 1", "busy", "latency 1", "memory"]
    for relaxation in permutations(QUANTITIES):
        assert sorted(yielding_order(relaxation, 3)) == list(range(9))
