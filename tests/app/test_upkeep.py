from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from adaspring.app.background import BackgroundProfiler
from adaspring.app.counters import FrameCounters
from adaspring.app.evolution import Evolver
from adaspring.app.learning import Learner
from adaspring.app.upkeep import TableKeeper
from adaspring.bundle import Bundle
from adaspring.context.model import Context
from adaspring.decide import Cause, Planner
from adaspring.engine import SubnetCache
from adaspring.engine.onnx.engine import OnnxEngine
from adaspring.tables import DeviceTables

Keep: TypeAlias = "Callable[..., tuple[TableKeeper, Evolver]]"


@pytest.fixture
def keep(tmp_path: Path, small_bundle: Bundle, engine: OnnxEngine, make_planner: Callable[..., Planner]) -> Keep:
    """Makes a keeper beside an evolver that decides from the tables given, or from the estimate."""

    def make(
        background: BackgroundProfiler | None,
        planner: Planner | None = None,
        replan: Callable[[], Planner] = make_planner,
    ) -> tuple[TableKeeper, Evolver]:
        planner = planner or make_planner()
        evolver, _ = Evolver.begin(
            small_bundle.space, planner, SubnetCache(engine, 4), Context(at_s=0.0), seed=0, wall=lambda: "now"
        )
        learner = Learner(tmp_path / "learned.json", planner.tables)
        return TableKeeper(evolver, FrameCounters(), learner, background, replan), evolver

    return make


def ending(make_profiler: Callable[..., BackgroundProfiler], command: str) -> BackgroundProfiler:
    """A profiler that is over at once, well or not; `test_background` has it measure."""
    profiler = make_profiler()
    profiler._commands = {"profile": [command], "atlas": [command]}
    return profiler


def tend_to_the_end(keeper: TableKeeper) -> Cause | None:
    """Tend until the run in the background is over."""
    until_s = time.monotonic() + 30.0
    while True:
        cause = keeper.tend()
        if not keeper.rebuilding:
            return cause
        assert time.monotonic() < until_s
        time.sleep(0.005)


def test_where_nothing_may_run_beside_tables_stay(keep: Keep) -> None:
    """Frames are still learned from."""
    keeper, evolver = keep(None)
    planner = evolver.planner
    keeper.learn(Context(at_s=1.0))
    assert keeper.tend() is None
    assert (planner, False) == (evolver.planner, keeper.rebuilding)
    assert planner.tables.facts == keeper.view().facts


def test_measured_tables_are_a_cause_to_decide_anew(
    keep: Keep,
    make_profiler: Callable[..., BackgroundProfiler],
    make_planner: Callable[..., Planner],
    as_measured: DeviceTables,
) -> None:
    """What the run in the background left is decided from, and it is said why."""
    profiler = ending(make_profiler, "true")
    keeper, evolver = keep(profiler, replan=lambda: make_planner(tables=as_measured))
    profiler.start()
    assert keeper.view().rebuilding
    assert Cause("tables", "measured tables replace the estimate") == tend_to_the_end(keeper)
    assert as_measured is evolver.planner.tables


@pytest.mark.parametrize("command", ["true", "false"])
def test_a_run_that_leaves_nothing_to_use_is_not_repeated(
    keep: Keep, make_profiler: Callable[..., BackgroundProfiler], command: str
) -> None:
    """It would end the same way; the tables in use stay."""
    profiler = ending(make_profiler, command)
    keeper, evolver = keep(profiler)
    planner = evolver.planner
    profiler.start()
    assert tend_to_the_end(keeper) is None
    assert keeper.tend() is None
    assert (planner, False) == (evolver.planner, keeper.rebuilding)


def test_measured_tables_without_an_atlas_get_one(
    keep: Keep,
    make_profiler: Callable[..., BackgroundProfiler],
    make_planner: Callable[..., Planner],
    as_measured: DeviceTables,
) -> None:
    """It is built in the background, and then decided from."""
    bare = DeviceTables(as_measured.facts, as_measured.latency_us, as_measured.energy_mj)
    keeper, evolver = keep(
        ending(make_profiler, "true"), make_planner(tables=bare), lambda: make_planner(tables=as_measured)
    )
    assert keeper.tend() is None
    assert keeper.rebuilding
    assert Cause("tables", "tables were corrected and the atlas rebuilt") == tend_to_the_end(keeper)
    assert evolver.planner.tables.atlas is not None
