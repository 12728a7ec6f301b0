from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
import pytest
from scipy.stats import kendalltau

from adaspring.errors import TableError
from adaspring.space import Genome, SearchSpace, SpaceSpec, analytic_tables
from adaspring.tables import SlotTable, fit_slot_table, kendall_tau


@pytest.fixture(scope="module")
def space(small_spec: SpaceSpec) -> SearchSpace:
    """The space of `small_spec`."""
    return SearchSpace(small_spec)


def test_an_additive_quantity_is_learned(
    space: SearchSpace, make_table: Callable[[SearchSpace, int], SlotTable]
) -> None:
    """From enough subnets an additive quantity is predicted well on others, far better than by its prior."""
    truth = make_table(space, 0).scaled(100)
    prior = SlotTable.of_macs(space, analytic_tables(space))
    rng = np.random.default_rng(1)
    seen, unseen = space.random(rng, 600), space.random(rng, 200)
    fit = fit_slot_table(space, seen, truth.evaluate(space, seen), prior, relative=True)
    wanted = truth.evaluate(space, unseen)
    errors = np.abs(fit.table.evaluate(space, unseen) - wanted) / wanted
    assert 100 * errors.mean() < 2
    assert fit.mape_percent < 2
    assert fit.kendall_tau > 0.95


def test_noise_is_stated(space: SearchSpace, make_table: Callable[[SearchSpace, int], SlotTable]) -> None:
    """The cross-validated error is about the noise of the measurements, not below it."""
    truth = make_table(space, 0)
    rng = np.random.default_rng(2)
    genomes = space.random(rng, 800)
    targets = truth.evaluate(space, genomes) + rng.normal(0, 0.05, 800)
    fit = fit_slot_table(space, genomes, targets, truth, relative=False)
    noise = 0.05 * np.sqrt(2 / np.pi)
    assert noise * 0.9 < fit.mean_absolute_error < noise * 1.3


def test_a_good_prior_needs_little_evidence(
    space: SearchSpace, make_table: Callable[[SearchSpace, int], SlotTable]
) -> None:
    """Where the prior is right up to a factor and a constant, a few subnets do."""
    prior = make_table(space, 3)
    genomes = space.random(np.random.default_rng(3), 20)
    targets = 7 * prior.evaluate(space, genomes) + 5
    fit = fit_slot_table(space, genomes, targets, prior, relative=True)
    others = space.random(np.random.default_rng(4), 50)
    np.testing.assert_allclose(7 * prior.evaluate(space, others) + 5, fit.table.evaluate(space, others), rtol=1e-6)


def test_each_precision_has_its_own_factor(
    small_spec: SpaceSpec, make_table: Callable[[SearchSpace, int], SlotTable]
) -> None:
    """Where one precision is quicker by a factor, a few subnets of each tell by which."""
    both = SearchSpace(msgspec.structs.replace(small_spec, precisions=("float32", "int8")))
    prior = make_table(both, 3)
    factor, constant = np.array([7.0, 2.0]), np.array([5.0, 9.0])

    def truth(genomes: Genome) -> np.ndarray:
        precision = genomes[:, -1]
        expected: np.ndarray = factor[precision] * prior.evaluate(both, genomes) + constant[precision]
        return expected

    genomes, others = both.random(np.random.default_rng(3), 60), both.random(np.random.default_rng(4), 50)
    fit = fit_slot_table(both, genomes, truth(genomes), prior, relative=True)
    np.testing.assert_allclose(truth(others), fit.table.evaluate(both, others), rtol=1e-6)


@pytest.mark.parametrize(("count", "bad"), [(9, None), (40, np.nan), (40, np.inf)])
def test_too_little_or_broken_evidence_is_refused(
    space: SearchSpace, make_table: Callable[[SearchSpace, int], SlotTable], count: int, bad: float | None
) -> None:
    """Too few observations, or one that is no number, are refused."""
    prior = make_table(space, 5)
    genomes = space.random(np.random.default_rng(5), count)
    targets = prior.evaluate(space, genomes)
    if bad is not None:
        targets[3] = bad
    with pytest.raises(TableError, match="at least 10 finite observations"):
        fit_slot_table(space, genomes, targets, prior, relative=True)


def test_rank_correlation_is_kendalls() -> None:
    """Rank correlation agrees with the reference, ties included."""
    rng = np.random.default_rng(6)
    first, second = rng.integers(0, 8, (2, 60)).astype(float)
    assert kendall_tau(first, second) == pytest.approx(kendalltau(first, second).statistic)
    assert kendall_tau(np.ones(5), np.arange(5.0)) == 0.0


def test_what_is_illegal_stays_infinite_when_noise_tilts_the_line(space: SearchSpace) -> None:
    """Targets that fall as the prior rises give a negative slope, and a table that can still be searched."""
    prior = SlotTable.of_macs(space, analytic_tables(space))
    genomes = space.random(np.random.default_rng(5), 80)
    base = prior.evaluate(space, genomes)
    fit = fit_slot_table(space, genomes, 2 * base.max() - base, prior, relative=False)
    fit.table.check(space, "latency")
    np.testing.assert_array_equal(np.isinf(prior.values), fit.table.values == np.inf)
