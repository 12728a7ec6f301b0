from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from adaspring.errors import TableError
from adaspring.space import SKIP, SearchSpace, SpaceSpec
from adaspring.tables import SlotTable


@pytest.fixture(scope="module")
def space(small_spec: SpaceSpec) -> SearchSpace:
    """The space of `small_spec`."""
    return SearchSpace(small_spec)


def test_a_subnet_is_the_sum_of_its_entries(
    space: SearchSpace, make_table: Callable[[SearchSpace, int], SlotTable]
) -> None:
    """The value of a subnet is its entries along the slots plus that of the head."""
    table = make_table(space, 0)
    for genome in space.random(np.random.default_rng(0), 10):
        widths = space.running_widths(genome[None])[0]
        expected = table.head[0, widths[-1]]
        for slot in range(space.slot_count):
            expected += table.values[0, slot, widths[slot], genome[slot]]
        assert expected == pytest.approx(table.evaluate(space, genome[None])[0])


def test_pairs_of_blocks_are_added_over_skipped_slots(
    space: SearchSpace,
    make_table: Callable[[SearchSpace, int], SlotTable],
    make_pairs: Callable[[SearchSpace, int], np.ndarray],
) -> None:
    """A subnet is worth what its entries say and every block behind the last that was not skipped."""
    table = make_table(space, 0)
    paired = SlotTable(table.values, table.head, make_pairs(space, 0))
    assert paired.pairs is not None
    paired.check(space, "accuracy")
    for genome in space.random(np.random.default_rng(0), 20):
        expected, before = table.evaluate(space, genome[None])[0], -1
        for slot, choice in enumerate(space.chosen(genome)):
            if choice is not SKIP:
                here = sum(len(choices) for choices in space.choices[:slot]) + int(genome[slot])
                expected, before = expected + paired.pairs[before, here], here
        assert expected + paired.pairs[before, -1] == pytest.approx(paired.evaluate(space, genome[None])[0])


@pytest.mark.parametrize("fault", ["shape", "nan", "skip"])
def test_pairs_that_cannot_be_are_refused(
    space: SearchSpace,
    make_table: Callable[[SearchSpace, int], SlotTable],
    make_pairs: Callable[[SearchSpace, int], np.ndarray],
    fault: str,
) -> None:
    """Pairs of another space, of no number, or that make a skip worth something are refused."""
    table, pairs = make_table(space, 0), make_pairs(space, 0)
    if fault == "shape":
        pairs = pairs[1:]
    elif fault == "nan":
        pairs[0, 0] = np.nan
    else:
        pairs[0, np.flatnonzero(space.skips)[0]] = 1.0
    with pytest.raises(TableError, match="table accuracy: pairs of blocks must be"):
        SlotTable(table.values, table.head, pairs).check(space, "accuracy")


def test_a_scaled_table_scales_every_subnet(
    space: SearchSpace,
    make_table: Callable[[SearchSpace, int], SlotTable],
    make_pairs: Callable[[SearchSpace, int], np.ndarray],
) -> None:
    """A factor on a table is a factor on each subnet."""
    table = make_table(space, 1)
    table = SlotTable(table.values, table.head, make_pairs(space, 1))
    genomes = space.random(np.random.default_rng(0), 10)
    np.testing.assert_allclose(3 * table.evaluate(space, genomes), table.scaled(3).evaluate(space, genomes))


def test_a_good_table_passes(space: SearchSpace, make_table: Callable[[SearchSpace, int], SlotTable]) -> None:
    """A table that fits its space is not refused."""
    make_table(space, 2).check(space, "latency")


def test_a_table_of_another_space_is_refused(
    space: SearchSpace, make_table: Callable[[SearchSpace, int], SlotTable]
) -> None:
    """A table of another shape is refused with both shapes."""
    table = make_table(space, 3)
    with pytest.raises(TableError, match=r"table latency: shapes .* do not fit the space"):
        SlotTable(table.values[:, 1:], table.head).check(space, "latency")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_an_entry_that_is_no_number_is_refused(
    space: SearchSpace, make_table: Callable[[SearchSpace, int], SlotTable], bad: float
) -> None:
    """A legal entry that is not finite is refused by its place."""
    table = make_table(space, 4)
    slot, width, choice = np.argwhere(space.legal)[-1]
    table.values[0, slot, width, choice] = bad
    with pytest.raises(TableError, match=rf"entry \(0, {slot}, {width}, {choice}\) is not a finite number"):
        table.check(space, "energy")


def test_a_head_that_is_no_number_is_refused(
    space: SearchSpace, make_table: Callable[[SearchSpace, int], SlotTable]
) -> None:
    """A head entry that a subnet can reach must be finite."""
    table = make_table(space, 5)
    table.head[0, space.final_widths[0]] = np.nan
    with pytest.raises(TableError, match="the head holds"):
        table.check(space, "energy")


def test_a_negative_subnet_is_refused_where_it_cannot_be(
    space: SearchSpace, make_table: Callable[[SearchSpace, int], SlotTable]
) -> None:
    """A cost below zero is refused; a quantity that may be negative is not."""
    table = make_table(space, 6).scaled(-1)
    with pytest.raises(TableError, match="comes out negative"):
        table.check(space, "latency")
    table.check(space, "difference", non_negative=False)
