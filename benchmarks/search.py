"""The search against exact optimum, NSGA-II, greedy and random on seeded instances under three tight budgets.

All of them run on one core. The search (ours) is prepared once per instance, as the
daemon prepares it once per bundle; its time is the median of `REPEATS` runs from
budgets to subnet. The exact optimum is that of SciPy's HiGHS on the same tables as a
shortest path with side constraints. NSGA-II is pymoo's with one objective, the
constraints as constraints and all subnets of a generation evaluated in one numpy call,
seeded with nothing; it runs until it is as close to the optimum as the search is, on
one instance in `PYMOO_EVERY` (`pymoo_instances`), and counts as `PYMOO_LIMIT_S` where
it does not get there by then. Greedy starts from the full network and takes, again and
again, the change of one slot that frees most of what is over budget for its loss.
Random is the best that fits of `DRAWS` uniform subnets.

`gap_…` is measured against the true optimum, not against the search's own bound
(`proven_gap_…`), over the instances that have one.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from adaspring.decide.problem import QUANTITIES
from adaspring.decide.search import Deadline, Found, Search
from benchmarks.harness import CONSOLE, finish, percentile
from benchmarks.search_instances import SIZES, SOURCES, Instance, instances
from benchmarks.search_rivals import exact, greedy, nsga2, random

INSTANCES = 200
REPEATS = 5
#: When the search has to answer with the best so far, in milliseconds.
DEADLINE_MS = 1.25
PYMOO_EVERY = 10
PYMOO_LIMIT_S = 10.0
DRAWS = 10_000


@dataclass(frozen=True, slots=True)
class Row:
    """One instance: objectives (None where nothing was found that fits) and times.

    Attributes:
        instance: What was searched.
        optimum: Of HiGHS; None where no subnet fits.
        found: Of the search.
        proven_gap_percent: What the search itself said.
        search_ms: Median time.
        slowest_ms: Longest time.
        in_time: Whether the search ended by itself.
        exact_ms: Time of HiGHS.
        greedy: Of greedy.
        random: Of random.
        pymoo_ms: Until NSGA-II was as close; None where it did not run.
    """

    instance: Instance
    optimum: float | None
    found: float | None
    proven_gap_percent: float
    search_ms: float
    slowest_ms: float
    in_time: bool
    exact_ms: float
    greedy: float | None
    random: float | None
    pymoo_ms: float | None

    def gap_percent(self, objective: float | None) -> float:
        """How far an objective lies above the optimum; infinite where there is none."""
        if objective is None or self.optimum is None:
            return float("inf")
        return 100 * max(0.0, objective - self.optimum) / abs(self.optimum)


def main() -> None:
    """Run all, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--instances", type=int, default=INSTANCES, help=f"how many (default: {INSTANCES})")
    parser.add_argument("--deadline-ms", type=float, default=DEADLINE_MS, help=f"default: {DEADLINE_MS}")
    options = parser.parse_args()
    # One core for all threads that numpy or HiGHS may start.
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    rows = []
    for index, instance in enumerate(instances(options.instances)):
        # By index over both sizes and sources, so that every kind has its share.
        rows.append(_row(instance, options.deadline_ms, pymoo=(index // 4) % PYMOO_EVERY == 0, seed=index))
        if len(rows) % 20 == 0:
            CONSOLE.print(f"{len(rows)} of {options.instances} instances")
    finish(_figures(rows, options.deadline_ms))


def _row(instance: Instance, deadline_ms: float, *, pymoo: bool, seed: int) -> Row:
    search = Search(instance.problem, instance.problem.trellis.space.full()[None])
    times_ms = []
    for _ in range(REPEATS):
        started_s = time.perf_counter()
        found = _search(search, instance, started_s + deadline_ms * 1e-3)
        times_ms.append((time.perf_counter() - started_s) * 1e3)
    started_s = time.perf_counter()
    optimum = exact(instance)
    exact_ms = (time.perf_counter() - started_s) * 1e3
    fits = not found.relaxed
    return Row(
        instance=instance,
        optimum=optimum,
        found=found.objective if fits else None,
        proven_gap_percent=100 * (found.objective - found.bound) / abs(found.objective),
        search_ms=float(np.median(times_ms)),
        slowest_ms=max(times_ms),
        in_time=found.ended_at_look is None,
        exact_ms=exact_ms,
        greedy=greedy(instance),
        random=random(instance, DRAWS, seed),
        pymoo_ms=nsga2(instance, found.objective, PYMOO_LIMIT_S, seed) * 1e3 if pymoo and fits else None,
    )


def _search(search: Search, instance: Instance, deadline_s: float) -> Found:
    return search.run(
        instance.weights,
        instance.budgets,
        relaxation=QUANTITIES,
        incumbent=None,
        seed=0,
        deadline=Deadline(time.perf_counter, deadline_s),
    )


def _figures(rows: list[Row], deadline_ms: float) -> dict[str, Any]:
    feasible = [row for row in rows if row.optimum is not None]
    raced = [row for row in feasible if row.pymoo_ms is not None]
    pymoo_ms = [row.pymoo_ms for row in raced if row.pymoo_ms is not None]
    pymoo = percentile(pymoo_ms, 50)
    return {
        "instances": len(rows),
        **_summary(rows),
        "pymoo_ms_to_same_gap": pymoo,
        "speedup_vs_pymoo": round(pymoo / percentile([row.search_ms for row in raced], 50), 1),
        "greedy_gap_p50_percent": _gap(feasible, [row.greedy for row in feasible], 50),
        "greedy_failures": sum(row.greedy is None for row in feasible),
        "random_gap_p50_percent": _gap(feasible, [row.random for row in feasible], 50),
        "random_failures": sum(row.random is None for row in feasible),
        "pymoo_instances": len(raced),
        "pymoo_capped": sum(ms >= PYMOO_LIMIT_S * 1e3 for ms in pymoo_ms),
        "exact_p50_ms": percentile([row.exact_ms for row in rows], 50),
        "deadline_ms": deadline_ms,
        "repeats": REPEATS,
        "sizes": {
            f"{slots}x{choices}": _summary([row for row in rows if row.instance.slots == slots])
            for slots, choices in SIZES
        },
        "sources": {source: _summary([row for row in rows if row.instance.source == source]) for source in SOURCES},
    }


def _summary(rows: list[Row]) -> dict[str, Any]:
    feasible = [row for row in rows if row.optimum is not None]
    found = [row.found for row in feasible]
    return {
        "p50_ms": percentile([row.search_ms for row in rows], 50),
        "p99_ms": percentile([row.search_ms for row in rows], 99),
        "slowest_run_ms": percentile([row.slowest_ms for row in rows], 100),
        "gap_p50_percent": _gap(feasible, found, 50),
        "gap_p90_percent": _gap(feasible, found, 90),
        "gap_max_percent": _gap(feasible, found, 100),
        "proven_gap_p90_percent": percentile([row.proven_gap_percent for row in rows], 90),
        "ended_by_deadline": sum(not row.in_time for row in rows),
        "feasible": len(feasible),
        "feasible_found": round(sum(objective is not None for objective in found) / len(feasible), 4),
    }


def _gap(rows: list[Row], objectives: list[float | None], percent: float) -> float | None:
    """A percentile of the gaps of those that found something that fits; None where none did."""
    gaps = [
        row.gap_percent(objective) for row, objective in zip(rows, objectives, strict=True) if objective is not None
    ]
    return percentile(gaps, percent) if gaps else None


if __name__ == "__main__":
    main()
