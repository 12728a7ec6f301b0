from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adaspring.errors import TableError
from adaspring.space import Genome, SearchSpace, SlotSpec, SpaceSpec
from adaspring.space.spec import Precision
from adaspring.tables import SlotTable, Trellis


@st.composite
def spaces(draw: st.DrawFn) -> SearchSpace:
    """Spaces small enough to look at every subnet: skips in a row, residual stages, one or two precisions."""
    slots = tuple(
        SlotSpec(
            width=draw(st.sampled_from([16, 32])),
            operators=draw(st.sampled_from([("conv",), ("conv", "dwsep")])),
            ratios=draw(st.sampled_from([(1.0,), (1.0, 0.5)])),
            skippable=index > 0 and draw(st.booleans()),
            shortcut="identity" if index > 0 and draw(st.booleans()) else "none",
        )
        for index in range(draw(st.integers(1, 4)))
    )
    precisions: list[tuple[Precision, ...]] = [("float32",), ("float32", "int8"), ("int8", "float32")]
    return SearchSpace(
        SpaceSpec(
            input_channels=8, input_size=(16,), outputs=3, slots=slots, precisions=draw(st.sampled_from(precisions))
        )
    )


def every_genome(space: SearchSpace) -> Genome:
    """All subnets of a space."""
    limits = [*space.choice_counts.tolist(), len(space.spec.precisions)]
    return np.array(list(product(*(range(limit) for limit in limits))), dtype=np.int16)


def paired_table(space: SearchSpace, pairs: np.ndarray, rng: np.random.Generator) -> SlotTable:
    """A random table with pairs of blocks."""
    shape = (len(space.spec.precisions), *space.legal.shape)
    return SlotTable(rng.random(shape), rng.random((shape[0], shape[2])), pairs)


@given(spaces(), st.integers(0, 2**32 - 1), st.integers(0, 1))
def test_paths_round_trip(
    make_pairs: Callable[[SearchSpace, int], np.ndarray], space: SearchSpace, seed: int, count: int
) -> None:
    """Every genome has one path, and the path gives the genome back; the same where states carry the block before."""
    table = paired_table(space, make_pairs(space, seed), np.random.default_rng(seed))
    trellis = Trellis(space, *[table] * count)
    genomes = space.random(np.random.default_rng(seed), 16)
    paths = trellis.edges(genomes)
    np.testing.assert_array_equal(genomes, trellis.genomes(paths))
    # Each edge starts where the one before it ended.
    np.testing.assert_array_equal(trellis.tip[paths[:, :-1]], trellis.tail[paths[:, 1:]])


@given(spaces(), st.integers(0, 2**32 - 1))
def test_packed_tables_add_up(space: SearchSpace, seed: int) -> None:
    """A packed table summed along a path is what the table says of the subnet."""
    rng = np.random.default_rng(seed)
    shape = (len(space.spec.precisions), *space.legal.shape)
    table = SlotTable(rng.random(shape), rng.random((shape[0], shape[2])))
    trellis = Trellis(space)
    genomes = space.random(rng, 16)
    packed = trellis.pack(table)
    np.testing.assert_allclose(table.evaluate(space, genomes), packed[trellis.edges(genomes)].sum(axis=1))


@settings(deadline=None)
@given(spaces(), st.integers(0, 2**32 - 1))
def test_the_optimum_of_pairs_of_blocks_is_that_of_brute_force(
    make_pairs: Callable[[SearchSpace, int], np.ndarray], space: SearchSpace, seed: int
) -> None:
    """What blocks do to those that follow them adds up along paths too, so the cheapest of all subnets is found."""
    table = paired_table(space, make_pairs(space, seed), np.random.default_rng(seed))
    trellis = Trellis(space, table)
    packed, genomes = trellis.pack(table), every_genome(space)
    totals = table.evaluate(space, genomes)
    np.testing.assert_allclose(totals, packed[trellis.edges(genomes)].sum(axis=1), atol=1e-12)
    paths = trellis.solve(packed[:, None])
    assert totals.min() == pytest.approx(paths.values[0])
    assert totals.min() == pytest.approx(table.evaluate(space, trellis.genomes(paths.edges))[0])


def test_pairs_need_a_trellis_that_tells_blocks_apart(
    small_spec: SpaceSpec, make_pairs: Callable[[SearchSpace, int], np.ndarray]
) -> None:
    """A trellis whose states are widths alone refuses a table with pairs rather than forget them."""
    space = SearchSpace(small_spec)
    with pytest.raises(TableError, match="unrolled for it"):
        Trellis(space).pack(paired_table(space, make_pairs(space, 0), np.random.default_rng(0)))


@settings(deadline=None)
@given(spaces(), st.integers(0, 2**32 - 1), st.integers(1, 5), st.sampled_from([0.0, 0.2, 0.6]))
def test_the_optimum_is_that_of_brute_force(space: SearchSpace, seed: int, batch: int, masked: float) -> None:
    """Each lane finds the cheapest of all subnets, whatever is masked; all masked is infinite."""
    rng = np.random.default_rng(seed)
    trellis = Trellis(space)
    costs = rng.normal(size=(trellis.edge_count, batch))
    costs[rng.random(costs.shape) < masked] = np.inf
    totals = costs[trellis.edges(every_genome(space))].sum(axis=1)
    paths = trellis.solve(costs)
    np.testing.assert_allclose(totals.min(axis=0), paths.values)
    for lane in np.flatnonzero(np.isfinite(paths.values)):
        assert paths.values[lane] == pytest.approx(costs[paths.edges[lane], lane].sum())


@settings(deadline=None)
@given(spaces(), st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.3]))
def test_detours_tell_how_much_a_path_exceeds_the_best(space: SearchSpace, seed: int, masked: float) -> None:
    """Detours are not negative and add up to the cost above the best from the same first state."""
    rng = np.random.default_rng(seed)
    trellis = Trellis(space)
    costs = rng.normal(size=(trellis.edge_count, 2))
    costs[rng.random(costs.shape) < masked] = np.inf
    paths = trellis.solve(costs)
    detour = trellis.detour(costs, paths.to_go)
    assert not np.isnan(detour).any()
    reachable = np.isfinite(paths.to_go[trellis.tail])
    assert detour[reachable].min(initial=0.0) > -1e-9
    edges = trellis.edges(every_genome(space))
    totals = costs[edges].sum(axis=1)
    finite = np.isfinite(totals)
    best = paths.to_go[trellis.tail[edges[:, 0]]]
    np.testing.assert_allclose(totals[finite], best[finite] + detour[edges].sum(axis=1)[finite], atol=1e-9)


def test_the_first_of_equal_choices_is_taken(small_spec: SpaceSpec) -> None:
    """Where all costs are equal, the full network comes out: the same on every machine."""
    trellis = Trellis(SearchSpace(small_spec))
    paths = trellis.solve(np.zeros((trellis.edge_count, 1)))
    np.testing.assert_array_equal(trellis.space.full()[None], trellis.genomes(paths.edges))
