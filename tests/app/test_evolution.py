from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import TYPE_CHECKING, TypeVar

import msgspec
import numpy as np
import pytest

from adaspring.app.evolution import Evolution, Evolver
from adaspring.context.model import Context
from adaspring.decide import Cause, Planner
from adaspring.engine import Beside, SubnetCache, here
from adaspring.engine.onnx.engine import OnnxEngine
from adaspring.errors import EngineError

if TYPE_CHECKING:
    from adaspring.tables import DeviceTables
    from tests.app.conftest import FaultyEngine

CAUSE = Cause("battery", "battery went from 90 to 5 %")
FULL, EMPTY = Context(1.0, battery_percent=90.0), Context(2.0, battery_percent=5.0)

Begin = Callable[..., tuple[Evolver, Evolution]]
T = TypeVar("T")


@pytest.fixture
def clock() -> Callable[[], float]:
    """A second passes at every look."""
    ticks: Iterator[int] = count(100)
    return lambda: float(next(ticks))


@pytest.fixture
def begin(make_planner: Callable[..., Planner], clock: Callable[[], float]) -> Begin:
    """Begins with a full battery."""

    def start(engine: OnnxEngine | FaultyEngine, cached: int = 4, beside: Beside = here) -> tuple[Evolver, Evolution]:
        planner = make_planner()
        cache = SubnetCache(engine, cached)
        return Evolver.begin(
            planner.space, planner, cache, FULL, seed=0, wall=lambda: "now", clock=clock, beside=beside
        )

    return start


def times(evolution: Evolution) -> tuple[float, ...]:
    """Of every step."""
    return evolution.search_us, evolution.assemble_us, evolution.load_us, evolution.warm_us, evolution.total_us


def test_the_first_subnet_is_prepared_and_recorded(begin: Begin, engine: OnnxEngine) -> None:
    """The start is an evolution from nothing, with what it took and why."""
    evolver, first = begin(engine)
    active = evolver.active.current
    assert ("", active.subnet.name, 1) == (first.from_subnet, first.subnet, first.generation)
    assert (True, False, "start") == (first.swapped, first.cache_hit, first.cause.kind)
    assert (FULL.at_s, "now") == (first.at_s, first.at)
    assert min(times(first)) > 0
    assert first.decision is not None
    assert first.decision.genome == tuple(active.subnet.genome.tolist())


def test_another_context_brings_another_subnet(begin: Begin, engine: OnnxEngine) -> None:
    """The search's choice is assembled and answers from then on; the clock runs from when the context was seen."""
    evolver, first = begin(engine)
    evolution = evolver.evolve(CAUSE, EMPTY, seen_s=50.0)
    assert first.subnet == evolution.from_subnet != evolution.subnet
    assert evolution.subnet == evolver.active.current.subnet.name
    assert (True, False, 2) == (evolution.swapped, evolution.cache_hit, evolution.generation)
    assert (CAUSE, EMPTY.at_s) == (evolution.cause, evolution.at_s)
    assert 0 < evolution.search_us < evolution.total_us
    assert evolution.search_us >= 50e6
    assert min(times(evolution)) > 0
    assert evolution.decision is not None
    assert evolution.decision.incumbent == tuple(evolver._space.parse(first.subnet).tolist())


def test_a_confirmed_subnet_is_not_swapped(begin: Begin, engine: OnnxEngine) -> None:
    """Deciding for the same subnet takes a search and nothing else, and starts no generation."""
    evolver, first = begin(engine)
    active = evolver.active.current
    evolution = evolver.evolve(CAUSE, FULL, seen_s=0.0)
    assert active is evolver.active.current
    assert (False, first.subnet, 1) == (evolution.swapped, evolution.subnet, evolution.generation)
    assert (0.0, 0.0, 0.0) == (evolution.assemble_us, evolution.load_us, evolution.warm_us)
    assert evolution.decision is not None


def test_going_back_takes_the_subnet_from_the_cache(begin: Begin, engine: OnnxEngine) -> None:
    """A subnet that was used lately costs nothing again, but is a generation of its own."""
    evolver, first = begin(engine)
    evolver.evolve(CAUSE, EMPTY, seen_s=0.0)
    evolution = evolver.evolve(CAUSE, FULL, seen_s=0.0)
    assert (first.subnet, True, True, 3) == (
        evolution.subnet,
        evolution.swapped,
        evolution.cache_hit,
        evolution.generation,
    )
    assert (0.0, 0.0, 0.0) == (evolution.assemble_us, evolution.load_us, evolution.warm_us)


def test_without_a_cache_everything_is_prepared_again(begin: Begin, engine: OnnxEngine) -> None:
    """A cache of no subnets keeps none."""
    evolver, _ = begin(engine, 0)
    evolver.evolve(CAUSE, EMPTY, seen_s=0.0)
    assert not evolver.evolve(CAUSE, FULL, seen_s=0.0).cache_hit


def test_pin_moves_without_a_decision(begin: Begin, engine: OnnxEngine) -> None:
    """An operator's choice is assembled like any other, without a search."""
    evolver, _ = begin(engine)
    genome = evolver._space.smallest()
    cause = Cause("operator", "an operator pinned it")
    evolution = evolver.pin(genome, cause, 7.0)
    np.testing.assert_array_equal(genome, evolver.active.current.subnet.genome)
    assert (None, 0.0, True, 7.0) == (evolution.decision, evolution.search_us, evolution.swapped, evolution.at_s)
    assert evolution.assemble_us > 0
    again = evolver.pin(genome, cause, 8.0)
    assert (False, 2) == (again.swapped, again.generation)


def test_failed_assembly_keeps_the_subnet(begin: Begin, faulty_engine: FaultyEngine) -> None:
    """Whatever the engine fails of, the subnet that ran goes on, and the next try may succeed."""
    evolver, _ = begin(faulty_engine)
    active = evolver.active.current
    faulty_engine.broken = True
    with pytest.raises(EngineError, match="no memory"):
        evolver.evolve(CAUSE, EMPTY, seen_s=0.0)
    with pytest.raises(EngineError, match="no memory"):
        evolver.pin(evolver._space.smallest(), CAUSE, 0.0)
    assert active is evolver.active.current
    faulty_engine.broken = False
    assert evolver.evolve(CAUSE, EMPTY, seen_s=0.0).generation == 2


def test_without_a_first_subnet_there_is_nothing_to_serve(begin: Begin, faulty_engine: FaultyEngine) -> None:
    """A start that fails says so."""
    faulty_engine.broken = True
    with pytest.raises(EngineError, match="no memory"):
        begin(faulty_engine)


def test_batches_are_warmed_beside_and_once(begin: Begin, engine: OnnxEngine, estimate: DeviceTables) -> None:
    """Sizes that pay are warmed up to the crowd, not in the thread that goes on, and not again."""
    ran: list[object] = []

    def recorded(work: Callable[[], T]) -> T:
        ran.append(work)
        return work()

    evolver, _ = begin(engine, beside=recorded)
    facts = msgspec.structs.replace(estimate.facts, batch_curve=((2, 1.5), (4, 3.0), (8, 5.0)))
    evolver.planner.tables = msgspec.structs.replace(estimate, facts=facts)
    subnet = evolver.active.current.subnet
    steps = ((1, (1,), 0), (5, (1, 2, 4), 1), (5, (1, 2, 4), 1), (2, (1, 2, 4), 1), (8, (1, 2, 4, 8), 2))
    for crowd, sizes, calls in steps:
        evolver.warm_batches(crowd)
        assert (subnet.batch_sizes, len(ran)) == (sizes, calls)
