from collections.abc import Callable
from pathlib import Path

import numpy as np

from adaspring.bundle import Bundle
from adaspring.engine.onnx.engine import OnnxEngine
from adaspring.space import SearchSpace, SlotSpec, SpaceSpec, analytic_tables, subnet_costs
from adaspring.tables import SlotTable
from adaspring.workbench.accuracy import fit_percent, fit_tables, judge, percent_of, promised, verdicts
from adaspring.workbench.data import Rows
from adaspring.workbench.sampling import balanced, diverse


def _additive(space: SearchSpace, genomes: np.ndarray, worth: np.ndarray) -> np.ndarray:
    slots = np.arange(space.slot_count)
    total: np.ndarray = 90.0 + worth[slots, genomes[:, :-1]].sum(axis=1)
    return total


def _verdicts(percent: np.ndarray) -> np.ndarray:
    """Rows answered so that accuracy comes out as given, to a hundredth of a percent."""
    return np.arange(10_000) < np.rint(100.0 * percent)[:, None]


def test_the_ceiling_is_what_chance_of_the_rows_leaves() -> None:
    """A perfect predictor of subnets that differ by less than the rows can tell ranks them badly, and no better."""
    rng = np.random.default_rng(0)
    true = rng.uniform(85.0, 90.0, 60)
    right = rng.random((60, 80)) < true[:, None] / 100.0
    judgement = judge(true, right)
    assert 0.3 < judgement.ceiling_tau < 0.9
    assert 1.0 < judgement.ceiling_error_points < 5.0
    many = judge(percent_of(right), right)
    assert (1.0, 0.0) == (many.kendall_tau, many.error_points)


def test_tables_predict_what_adds_up_along_the_slots(small_spec: SpaceSpec) -> None:
    """Where every choice has its worth, subnets never measured are ranked and valued right."""
    space, rng = SearchSpace(small_spec), np.random.default_rng(0)
    worth = rng.normal(0, 1, (space.slot_count, int(space.choice_counts.max())))
    measured, unseen = diverse(space, rng, 300), diverse(space, rng, 100)
    tables, _ = fit_tables(space, measured, _verdicts(_additive(space, measured, worth)))
    predicted = tables.percent.evaluate(space, unseen)
    assert np.abs(predicted - _additive(space, unseen, worth)).max() < 0.5
    assert tables.error_points < 0.2
    assert tables.kendall_tau > 0.95
    assert 300 == tables.subnets


def test_pairs_of_blocks_are_told_where_they_matter(
    small_spec: SpaceSpec, make_pairs: Callable[[SearchSpace, int], np.ndarray]
) -> None:
    """Where blocks do something to those that follow them, tables say so, and foretell subnets never measured."""
    space, rng = SearchSpace(small_spec), np.random.default_rng(0)
    measured, unseen = diverse(space, rng, 1500), diverse(space, rng, 200)
    flat = np.zeros((1, *space.legal.shape))
    truth = SlotTable(flat, np.full((1, len(space.widths)), 90.0), make_pairs(space, 0))
    tables, _ = fit_tables(space, measured, _verdicts(truth.evaluate(space, measured)))
    expected, alone = truth.evaluate(space, unseen), SlotTable(tables.percent.values, tables.percent.head)
    error, error_alone = (np.abs(table.evaluate(space, unseen) - expected).mean() for table in (tables.percent, alone))
    assert error < 0.5 * error_alone


def test_what_tables_promise_most_is_found(small_spec: SpaceSpec) -> None:
    """No subnet is promised more accuracy than the best of the front, and the front is one: less costs accuracy."""
    space, rng = SearchSpace(small_spec), np.random.default_rng(0)
    drawn = diverse(space, rng, 300)
    table = fit_percent(space, drawn, 90.0 + rng.normal(0, 1, 300))
    front = promised(space, table)
    accuracy, macs = (
        table.evaluate(space, front),
        SlotTable.of_macs(space, analytic_tables(space)).evaluate(space, front),
    )
    others = table.evaluate(space, space.random(rng, 2000))
    assert accuracy.max() >= others.max()
    assert len(front) > 1
    for one in range(len(front)):
        cheaper = (macs < macs[one]) & (accuracy > accuracy[one])
        smaller = subnet_costs(space, front[one]).parameters
        assert all(subnet_costs(space, genome).parameters > smaller for genome in front[cheaper])


def test_the_stated_error_is_that_on_subnets_held_out(small_spec: SpaceSpec) -> None:
    """Noise cannot be predicted, and the tables say so rather than boast of what they remember."""
    space, rng = SearchSpace(small_spec), np.random.default_rng(0)
    genomes = diverse(space, rng, 300)
    tables, judgement = fit_tables(space, genomes, _verdicts(90.0 + rng.normal(0, 1, 300)))
    assert judgement.tau_interval[0] <= tables.kendall_tau <= judgement.tau_interval[1]
    assert judgement.error_interval[0] <= tables.error_points <= judgement.error_interval[1]
    assert tables.error_points > 0.6
    assert abs(tables.kendall_tau) < 0.3


def test_accuracy_is_the_share_of_right_answers_of_the_engine(
    small_spec: SpaceSpec, make_bundle: Callable[[SpaceSpec, Path], Bundle], tmp_path: Path
) -> None:
    """Half of the labels are what the subnet answers, so it is right in half of the rows."""
    bundle = make_bundle(small_spec, tmp_path / "bundle")
    engine, genome = OnnxEngine(bundle), bundle.space.full()
    x = np.random.default_rng(0).standard_normal((20, 3, 32), dtype=np.float32)
    answers = engine.prepare(genome).subnet.run(x).argmax(axis=1)
    labels = np.where(np.arange(20) % 2, answers, (answers + 1) % 4)
    facts = np.zeros(20, dtype=np.int64)
    right = verdicts(engine, genome[None], Rows(x, labels, facts, facts, facts))
    assert [50.0] == percent_of(right).tolist()


def test_diverse_subnets_reach_the_corners(small_spec: SpaceSpec) -> None:
    """Every gene lies in its range, and some subnets lean hard towards one rank of choice."""
    space = SearchSpace(small_spec)
    genomes = diverse(space, np.random.default_rng(0), 400)
    for genome in genomes:
        space.check(genome)
    alike = [(genome[:-1] == genome[0]).all() for genome in genomes]
    uniform = space.random(np.random.default_rng(0), 400)
    assert sum(alike) > 3 * sum((genome[:-1] == genome[0]).all() for genome in uniform)


def test_balanced_subnets_show_every_block_behind_every_other() -> None:
    """Each choice of the last slot comes up behind each block that may stand before it, however many were skipped."""
    spec = SpaceSpec(
        input_channels=3,
        input_size=(16,),
        outputs=2,
        slots=tuple(SlotSpec(width=16, operators=("conv", "lowrank"), skippable=index > 0) for index in range(3)),
    )
    space = SearchSpace(spec)
    before, here = space.blocks(balanced(space, np.random.default_rng(0), 600))
    kept = ~space.skips[here[:, 2]]
    pairs, counts = np.unique(np.stack([before[kept, 2], here[kept, 2]], axis=1), axis=0, return_counts=True)
    producers, choices = 2 * 2, 2
    assert producers * choices == len(pairs)
    assert counts.min() > 0.3 * counts.mean()
