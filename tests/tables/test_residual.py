from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from adaspring.space import SearchSpace, SpaceSpec
from adaspring.tables import Evidence, SlotTable, drift_percent, fit_residuals, remember
from adaspring.tables.residual import MOST_EVIDENCE

MakeTable = Callable[[SearchSpace, int], SlotTable]


@pytest.fixture(scope="module")
def space(small_spec: SpaceSpec) -> SearchSpace:
    """Some thousand subnets."""
    return SearchSpace(small_spec)


def served(space: SearchSpace, truth: SlotTable, count: int, factors: tuple[float, ...]) -> list[Evidence]:
    """What random subnets took, in turn under conditions that scale all of them."""
    genomes = space.random(np.random.default_rng(7), count)
    latency = truth.evaluate(space, genomes)
    return [
        Evidence(tuple(genome.tolist()), f"c{index % len(factors)}", us * factors[index % len(factors)], 1.0)
        for index, (genome, us) in enumerate(zip(genomes, latency.tolist(), strict=True))
    ]


def test_entries_that_are_off_are_mended(space: SearchSpace, make_table: MakeTable) -> None:
    """One slot that takes 40 % longer than its table says is found from whole subnets under different factors."""
    table = make_table(space, 0)
    values = table.values.copy()
    values[:, 1] *= 1.4
    truth = SlotTable(values, table.head)
    fit = fit_residuals(space, table, served(space, truth, 60, (1.0, 2.5)))
    assert fit is not None
    assert fit.after_percent < 0.6 * fit.before_percent
    unseen = space.random(np.random.default_rng(8), 200)
    assert drift_percent(space, truth, fit.table, unseen) < 0.6 * drift_percent(space, truth, table, unseen)


def test_noise_and_little_evidence_mend_nothing(space: SearchSpace, make_table: MakeTable) -> None:
    """A correction that does not foretell subnets from others is not believed; neither are a few subnets."""
    table = make_table(space, 0)
    rng = np.random.default_rng(0)
    noisy = [
        Evidence(piece.genome, piece.condition, piece.latency_us * np.exp(rng.normal(0, 0.1)), 1.0)
        for piece in served(space, table, 40, (1.0,))
    ]
    assert fit_residuals(space, table, noisy) is None
    assert fit_residuals(space, table, noisy[:5]) is None
    assert fit_residuals(space, table, []) is None


def test_a_common_factor_is_no_drift(space: SearchSpace, make_table: MakeTable) -> None:
    """What scales all subnets alike moves no front."""
    table = make_table(space, 0)
    genomes = space.random(np.random.default_rng(0), 50)
    assert drift_percent(space, table, table.scaled(3.0), genomes) == pytest.approx(0.0, abs=1e-9)


def test_evidence_is_bounded_and_the_newest_stays() -> None:
    """Of a subnet the newest is kept, of all the newest hundred odd, and nothing older than a week."""
    known: tuple[Evidence, ...] = ()
    for index in range(2 * MOST_EVIDENCE):
        known = remember(known, Evidence((index,), "cool", 1.0, 1e9 + index))
    assert MOST_EVIDENCE == len(known)
    known = remember(known, Evidence(known[5].genome, "cool", 2.0, 1e9 + 1000))
    assert MOST_EVIDENCE == len(known)
    assert known[-1].latency_us == 2.0
    assert len(remember(known, Evidence((0,), "hot", 1.0, 2e9))) == 1
