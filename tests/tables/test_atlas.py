from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from adaspring.space import SearchSpace, SlotSpec, SpaceSpec
from adaspring.tables import Atlas, SlotTable, build_atlas, nondominated

SMALL_INTEGERS = arrays(np.float64, st.tuples(st.integers(1, 12), st.integers(1, 4)), elements=st.integers(0, 4))


@given(SMALL_INTEGERS)
def test_the_front_is_who_nobody_beats(points: np.ndarray) -> None:
    """A point is on the front exactly if no other is as small everywhere and smaller somewhere."""
    beaten = [any((q <= p).all() and (q < p).any() for q in points) for p in points]
    assert [not lost for lost in beaten] == nondominated(points).tolist()


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    """A space of some thousand subnets in two precisions."""
    slot = SlotSpec(width=16, operators=("conv", "dwsep"), ratios=(1.0, 0.5))
    skippable = SlotSpec(width=16, operators=("conv", "dwsep"), ratios=(1.0, 0.5), skippable=True)
    return SearchSpace(
        SpaceSpec(
            input_channels=4,
            input_size=(16,),
            outputs=3,
            slots=(slot, skippable, slot, skippable),
            precisions=("float32", "int8"),
        )
    )


@pytest.fixture(scope="module")
def tables(space: SearchSpace, make_table: Callable[[SearchSpace, int], SlotTable]) -> tuple[SlotTable, ...]:
    """Accuracy, latency, energy and parameters that have nothing to do with each other."""
    accuracy = make_table(space, 0)
    return (SlotTable(-accuracy.values, 95 - accuracy.head), *(make_table(space, seed) for seed in (1, 2, 3)))


def points_of(atlas: Atlas) -> np.ndarray:
    """Points of an atlas, less is better in every column."""
    return np.stack([-atlas.accuracy_percent, atlas.latency_us, atlas.energy_mj, atlas.parameters], axis=1)


def test_members_are_pareto_optimal_in_the_whole_space(space: SearchSpace, tables: tuple[SlotTable, ...]) -> None:
    """No subnet of the space beats a member, and the best in each respect are members."""
    atlas = build_atlas(space, *tables, members=64)
    limits = [*space.choice_counts.tolist(), 2]
    everyone = np.array(list(product(*(range(limit) for limit in limits))), dtype=np.int16)
    accuracy, *costs = (table.evaluate(space, everyone) for table in tables)
    points = np.stack([-accuracy, *costs], axis=1)
    own = points_of(atlas)
    for member in own:
        # Sums in another order differ in the last digits.
        assert not ((points <= member + 1e-9).all(axis=1) & (points < member - 1e-9).any(axis=1)).any()
    np.testing.assert_allclose(points.min(axis=0), own.min(axis=0))
    assert len(atlas) == 64


def test_figures_are_those_of_the_tables(space: SearchSpace, tables: tuple[SlotTable, ...]) -> None:
    """The figures of a member are what the tables say of its genome, sorted by latency."""
    atlas = build_atlas(space, *tables)
    for table, figures in zip(tables, (atlas.accuracy_percent, *points_of(atlas).T[1:]), strict=True):
        np.testing.assert_allclose(table.evaluate(space, atlas.genomes), figures)
    assert (np.diff(atlas.latency_us) >= 0).all()
    assert nondominated(points_of(atlas)).all()
    assert len(np.unique(atlas.genomes, axis=0)) == len(atlas) <= 256


def test_the_same_seed_gives_the_same_atlas(space: SearchSpace, tables: tuple[SlotTable, ...]) -> None:
    """An atlas can be made again."""
    first, second = (build_atlas(space, *tables, members=32, seed=7) for _ in range(2))
    np.testing.assert_array_equal(first.genomes, second.genomes)


def test_a_space_of_one_subnet_has_an_atlas_of_one(make_table: Callable[[SearchSpace, int], SlotTable]) -> None:
    """Where there is nothing to choose, the atlas holds that."""
    space = SearchSpace(SpaceSpec(input_channels=4, input_size=(8,), outputs=2, slots=(SlotSpec(width=16),)))
    atlas = build_atlas(space, *(make_table(space, seed) for seed in range(4)))
    np.testing.assert_array_equal(space.full()[None], atlas.genomes)
