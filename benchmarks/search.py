"""The search against exact optimum, NSGA-II, greedy and random on seeded instances under three tight budgets.

All of them run on one core. First the search (ours) alone, over all instances, in a few
seconds that hold the machine's measuring lock. It is prepared once per instance, as the
daemon prepares it once per bundle; its time is the median of `REPEATS` runs from budgets to
subnet, by the clock on the wall and by the CPU time of its thread (`cpu_…`).

Then the rivals, which take some ten minutes of a core. They hold no lock and are timed by
the CPU time of the process, so that what else runs on the machine makes no rival look slow;
`speedup_vs_pymoo` divides CPU time by CPU time. The exact optimum is that of SciPy's HiGHS on
the same tables as a shortest path with side constraints. NSGA-II is pymoo's with one
objective, the constraints as constraints and all subnets of a generation evaluated in one
numpy call, seeded with nothing; it runs until it is as close to the optimum as the search is,
and counts as `PYMOO_LIMIT_S` where it does not get there by then (`pymoo_capped`). It races on
every instance that was solved, or on one in ``--pymoo-every`` of them (`pymoo_instances`).
Greedy starts from the full network and takes, again and again, the change of one slot that
frees most of what is over budget for its loss. Random is the best that fits of `DRAWS`
uniform subnets.

`gap_…` is measured against the true optimum, not against the search's own bound
(`proven_gap_…`), over the instances that have one.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from adaspring.decide.problem import QUANTITIES
from adaspring.decide.search import Deadline, Found, Search
from adaspring.profile import measuring
from benchmarks.harness import CONSOLE, finish
from benchmarks.search_figures import Race, Run, figures
from benchmarks.search_instances import Instance, instances
from benchmarks.search_rivals import exact, greedy, nsga2, random

INSTANCES = 200
REPEATS = 5
#: When the search has to answer with the best so far, in milliseconds.
DEADLINE_MS = 1.1
PYMOO_LIMIT_S = 10.0
DRAWS = 10_000
#: The rivals are in no hurry.
NICENESS = 5


@dataclass(frozen=True, slots=True)
class _Prepared:
    instance: Instance
    search: Search

    def run(self, deadline_ms: float) -> Found:
        return self.search.run(
            self.instance.weights,
            self.instance.budgets,
            relaxation=QUANTITIES,
            incumbent=None,
            seed=0,
            deadline=Deadline(time.perf_counter, time.perf_counter() + deadline_ms * 1e-3),
        )


def main() -> None:
    """Run all, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--instances", type=int, default=INSTANCES, help=f"how many (default: {INSTANCES})")
    parser.add_argument("--deadline-ms", type=float, default=DEADLINE_MS, help=f"default: {DEADLINE_MS}")
    parser.add_argument(
        "--pymoo-every", type=int, default=1, metavar="N", help="race pymoo on one in N instances of each kind"
    )
    options = parser.parse_args()
    # One core for all threads that numpy or HiGHS may start.
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    prepared = [
        _Prepared(instance, Search(instance.problem, instance.problem.trellis.space.full()[None]))
        for instance in instances(options.instances)
    ]
    with measuring():
        runs = _search(prepared, options.deadline_ms)
    CONSOLE.print(f"searched {len(runs)} instances; now the rivals")
    os.nice(NICENESS)
    races = []
    for index, run in enumerate(runs):
        # By index over both sizes and sources, so that every kind has its share.
        races.append(_race(run, pymoo=(index // 4) % options.pymoo_every == 0, seed=index))
        if len(races) % 20 == 0:
            CONSOLE.print(f"{len(races)} of {len(runs)} instances")
    settings = {"deadline_ms": options.deadline_ms, "repeats": REPEATS, "pymoo_limit_s": PYMOO_LIMIT_S}
    finish({**figures(runs, races, PYMOO_LIMIT_S * 1e3), **settings})


def _search(prepared: Sequence[_Prepared], deadline_ms: float) -> list[Run]:
    # What is paid once per process and not per decision.
    for each in prepared[: min(20, len(prepared))]:
        each.run(deadline_ms)
    return [_timed(each, deadline_ms) for each in prepared]


def _timed(prepared: _Prepared, deadline_ms: float) -> Run:
    wall_ms, cpu_ms = [], []
    for _ in range(REPEATS):
        started_s, started_cpu_s = time.perf_counter(), time.thread_time()
        found = prepared.run(deadline_ms)
        wall_ms.append((time.perf_counter() - started_s) * 1e3)
        cpu_ms.append((time.thread_time() - started_cpu_s) * 1e3)
    return Run(
        instance=prepared.instance,
        objective=None if found.relaxed else found.objective,
        proven_gap_percent=100 * (found.objective - found.bound) / abs(found.objective),
        wall_ms=float(np.median(wall_ms)),
        cpu_ms=float(np.median(cpu_ms)),
        slowest_ms=max(wall_ms),
        in_time=found.ended_at_look is None,
    )


def _race(run: Run, *, pymoo: bool, seed: int) -> Race:
    instance, found = run.instance, run.objective
    started_s = time.process_time()
    optimum = exact(instance)
    exact_ms = (time.process_time() - started_s) * 1e3
    return Race(
        optimum=optimum,
        exact_ms=exact_ms,
        greedy=greedy(instance),
        random=random(instance, DRAWS, seed),
        pymoo_ms=nsga2(instance, found, PYMOO_LIMIT_S, seed) * 1e3 if pymoo and found is not None else None,
    )


if __name__ == "__main__":
    main()
