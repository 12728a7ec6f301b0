from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.search_figures import Race, Run, figures


def run(objective: float | None, *, slots: int = 20, ms: float = 1.0) -> Run:
    """The search on an instance of which nothing but its kind matters."""
    instance: Any = SimpleNamespace(slots=slots, source="synthetic")
    return Run(instance, objective, 0.5, ms, ms, 2 * ms, in_time=True)


def race(optimum: float | None, *, greedy: float | None = None, pymoo_ms: float | None = None) -> Race:
    """Its rivals; random found nothing."""
    return Race(optimum, 10.0, greedy, None, pymoo_ms)


def test_gaps_are_those_to_the_optimum_over_what_has_one() -> None:
    """What nobody can solve counts for time alone; what only the exact solver solved is no gap but a miss."""
    runs = [run(1.1), run(2.0), run(None), run(None)]
    races = [race(1.0, greedy=1.5), race(2.0), race(4.0, greedy=4.0), race(None)]
    told = figures(runs, races, 10_000.0)
    assert (4, 3) == (told["instances"], told["feasible"])
    assert told["feasible_found"] == pytest.approx(2 / 3, abs=1e-4)
    assert (5.0, 10.0) == (told["gap_p50_percent"], told["gap_max_percent"])
    assert (25.0, 1) == (told["greedy_gap_p50_percent"], told["greedy_failures"])
    assert (None, 3) == (told["random_gap_p50_percent"], told["random_failures"])
    assert list(told["sizes"]) == ["20x8"]
    assert list(told["sources"]) == ["synthetic"]


def test_a_rival_that_ran_out_of_time_counts_as_all_of_it() -> None:
    """The speed-up is told of those instances alone that were raced; without a race there is none."""
    runs = [run(1.0, ms=0.5), run(1.0, ms=2.0), run(1.0, ms=80.0)]
    races = [race(1.0, pymoo_ms=100.0), race(1.0, pymoo_ms=10_000.0), race(1.0)]
    told = figures(runs, races, 10_000.0)
    assert (2, 1) == (told["pymoo_instances"], told["pymoo_capped"])
    assert (5050.0, 4040.0) == (told["pymoo_ms_to_same_gap"], told["speedup_vs_pymoo"])
    alone = figures(runs[2:], races[2:], 10_000.0)
    assert (None, None) == (alone["pymoo_ms_to_same_gap"], alone["speedup_vs_pymoo"])
