"""A day judged by plants that the planner does not know: the daemon, every static subnet of the atlas, the oracle."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import msgspec

from adaspring.app.config import load_config
from adaspring.cli.simulate_command import simulate
from adaspring.simulate import load_scenario
from adaspring.simulate.plant import Contract
from adaspring.simulate.recorded import load_recorded
from adaspring.simulate.trace import scenario_of
from benchmarks.harness import CONSOLE, finish

#: The case study (docs/case-study.md): its day, its bundle, what its policy asks for, and what frames are judged by.
SCENARIO, BUNDLE = "driver-day", "sound"
CONFIG = Path(__file__).resolve().parents[1] / "docs/driver-day.toml"
DEADLINE_MS, LOSS_POINTS = 6.0, 1.5


def main() -> None:
    """Replay recorded traces where their place is given, else the shipped day."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trace", type=Path, help="recorded contexts (default: context_traces.npz of $ADASPRING_DATA)")
    parser.add_argument("--home", choices=["a", "b"], default="b", help="home whose events are taken from an .npz")
    parser.add_argument("--shipped", action="store_true", help="the shipped scenario, whatever $ADASPRING_DATA holds")
    parser.add_argument(
        "--deadline",
        type=float,
        default=DEADLINE_MS,
        metavar="MS",
        help="that frames are judged by and the policy asks for (default: %(default)s)",
    )
    parser.add_argument("--seeds", type=int, default=5, help="truths to be judged by (default: 5)")
    parser.add_argument("--first-seed", type=int, default=0, help="seed of the first of them (default: 0)")
    options = parser.parse_args()
    scenario, trace = load_scenario(SCENARIO), options.trace
    data = os.environ.get("ADASPRING_DATA")
    if trace is None and data and not options.shipped:
        trace = Path(data) / "context_traces.npz"
    findings: tuple[str, ...] = ()
    if trace is not None:
        scenario, findings = scenario_of(load_recorded(trace, options.home), scenario)
    for finding in findings:
        CONSOLE.print(finding)
    done = simulate(
        scenario,
        msgspec.structs.replace(load_config(CONFIG).policy, latency_p95_ms=options.deadline),
        bundle_name=BUNDLE,
        contract=Contract(options.deadline, LOSS_POINTS),
        seeds=options.seeds,
        first_seed=options.first_seed,
        findings=findings,
    )
    CONSOLE.print(f"judged against {len(done.days[0].statics)} static subnets, over {options.seeds} seeds")
    finish({"day": done.title, **msgspec.to_builtins(done.comparison)})


if __name__ == "__main__":
    main()
