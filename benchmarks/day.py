"""A wearable's day, judged by plants that the planner does not know: the daemon, static subnets, the oracle."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import msgspec

from adaspring.app.config import load_config
from adaspring.cli.simulate_command import DEFAULT_SCENARIO, simulate
from adaspring.simulate import load_scenario
from adaspring.simulate.recorded import load_recorded
from adaspring.simulate.trace import scenario_of
from benchmarks.harness import CONSOLE, finish

#: What the wearable of the case study asks for (docs/case-study.md), and the deadline of its frames.
CONFIG = Path(__file__).resolve().parents[1] / "docs/wearable-day.toml"
DEADLINE_MS = 1.1


def main() -> None:
    """Replay the shipped day, or recorded traces where their place is given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trace", type=Path, help="recorded contexts (default: context_traces.npz of $ADASPRING_DATA)")
    parser.add_argument("--shipped", action="store_true", help="the shipped scenario, whatever $ADASPRING_DATA holds")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--statics", type=int, default=16)
    options = parser.parse_args()
    scenario, trace = load_scenario(DEFAULT_SCENARIO), options.trace
    data = os.environ.get("ADASPRING_DATA")
    if trace is None and data and not options.shipped:
        trace = Path(data) / "context_traces.npz"
    findings: tuple[str, ...] = ()
    if trace is not None:
        scenario, findings = scenario_of(load_recorded(trace), scenario)
    done = simulate(
        scenario,
        load_config(CONFIG).policy,
        deadline_ms=DEADLINE_MS,
        seeds=options.seeds,
        statics=options.statics,
        findings=findings,
    )
    for finding in findings:
        CONSOLE.print(finding)
    finish({"day": done.title, **msgspec.to_builtins(done.comparison)})


if __name__ == "__main__":
    main()
