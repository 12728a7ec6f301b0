"""What `benchmarks.search` found, summed up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

from benchmarks.harness import percentile
from benchmarks.search_instances import SIZES, SOURCES, Instance


@dataclass(frozen=True, slots=True)
class Run:
    """The search on one instance.

    Attributes:
        instance: What was searched.
        objective: What it found; None where nothing that fits.
        proven_gap_percent: What the search itself said.
        wall_ms: Median time.
        cpu_ms: Median CPU time of its thread.
        slowest_ms: Longest time.
        in_time: Whether the search ended by itself.
    """

    instance: Instance
    objective: float | None
    proven_gap_percent: float
    wall_ms: float
    cpu_ms: float
    slowest_ms: float
    in_time: bool


@dataclass(frozen=True, slots=True)
class Race:
    """Its rivals on the same instance; None where one found nothing that fits.

    Attributes:
        optimum: Of HiGHS.
        exact_ms: CPU time of HiGHS.
        greedy: Objective of greedy.
        random: Objective of random.
        pymoo_ms: CPU time until NSGA-II was as good as the search; None where it did not run.
    """

    optimum: float | None
    exact_ms: float
    greedy: float | None
    random: float | None
    pymoo_ms: float | None

    def gap_percent(self, objective: float) -> float:
        """How far an objective lies above the optimum; infinite where there is none."""
        return inf if self.optimum is None else 100 * max(0.0, objective - self.optimum) / abs(self.optimum)


def figures(runs: Sequence[Run], races: Sequence[Race], limit_ms: float) -> dict[str, Any]:
    """All figures.

    Args:
        runs: Of the search, one for each instance.
        races: Of its rivals on the same instances.
        limit_ms: What NSGA-II was given, and counts as where it was not as good by then.
    """
    pairs = list(zip(runs, races, strict=True))
    feasible = [race for race in races if race.optimum is not None]
    raced = [(run.cpu_ms, race.pymoo_ms) for run, race in pairs if race.pymoo_ms is not None]
    pymoo_ms = _percentile([each for _, each in raced], 50)
    own_ms = _percentile([own for own, _ in raced], 50)
    return {
        "instances": len(runs),
        **_summary(pairs),
        "pymoo_ms_to_same_gap": pymoo_ms,
        "speedup_vs_pymoo": None if pymoo_ms is None or own_ms is None else round(pymoo_ms / own_ms, 1),
        "greedy_gap_p50_percent": _gap(feasible, [race.greedy for race in feasible], 50),
        "greedy_failures": sum(race.greedy is None for race in feasible),
        "random_gap_p50_percent": _gap(feasible, [race.random for race in feasible], 50),
        "random_failures": sum(race.random is None for race in feasible),
        "pymoo_instances": len(raced),
        "pymoo_capped": sum(each >= limit_ms for _, each in raced),
        "exact_cpu_p50_ms": percentile([race.exact_ms for race in races], 50),
        "sizes": {
            f"{slots}x{choices}": _summary([pair for pair in pairs if pair[0].instance.slots == slots])
            for slots, choices in SIZES
            if any(run.instance.slots == slots for run in runs)
        },
        "sources": {
            source: _summary([pair for pair in pairs if pair[0].instance.source == source])
            for source in SOURCES
            if any(run.instance.source == source for run in runs)
        },
    }


def _summary(pairs: Sequence[tuple[Run, Race]]) -> dict[str, Any]:
    runs = [run for run, _ in pairs]
    feasible = [(run, race) for run, race in pairs if race.optimum is not None]
    races, found = [race for _, race in feasible], [run.objective for run, _ in feasible]
    return {
        "p50_ms": percentile([run.wall_ms for run in runs], 50),
        "p99_ms": percentile([run.wall_ms for run in runs], 99),
        "slowest_run_ms": percentile([run.slowest_ms for run in runs], 100),
        "cpu_p50_ms": percentile([run.cpu_ms for run in runs], 50),
        "cpu_p99_ms": percentile([run.cpu_ms for run in runs], 99),
        "gap_p50_percent": _gap(races, found, 50),
        "gap_p90_percent": _gap(races, found, 90),
        "gap_max_percent": _gap(races, found, 100),
        "proven_gap_p90_percent": percentile([run.proven_gap_percent for run in runs], 90),
        "ended_by_deadline": sum(not run.in_time for run in runs),
        "feasible": len(feasible),
        "feasible_found": round(sum(each is not None for each in found) / len(feasible), 4) if feasible else None,
    }


def _gap(races: Sequence[Race], objectives: Sequence[float | None], percent: float) -> float | None:
    """A percentile of the gaps of those that found something that fits; None where none did."""
    gaps = [
        race.gap_percent(objective) for race, objective in zip(races, objectives, strict=True) if objective is not None
    ]
    return _percentile(gaps, percent)


def _percentile(values: Sequence[float], percent: float) -> float | None:
    """A percentile, rounded for people; None where there is nothing."""
    return percentile(values, percent) if values else None
