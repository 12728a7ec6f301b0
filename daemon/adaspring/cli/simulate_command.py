"""``adaspring simulate``: live through a day in seconds, and hold the daemon against its rivals."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import msgspec
from rich.console import Console

from adaspring.app.config import Config, load_config
from adaspring.app.locate import bundle_folder, find_board
from adaspring.bundle import load_bundle
from adaspring.decide import Policy
from adaspring.errors import ConfigError
from adaspring.profile import estimate_tables, load_tables
from adaspring.simulate import load_scenario
from adaspring.simulate.physics import STEP_S
from adaspring.simulate.plant import Contract
from adaspring.simulate.recorded import load_recorded
from adaspring.simulate.replay import Day, replay_day
from adaspring.simulate.report import html_report, json_report
from adaspring.simulate.scenario import Scenario
from adaspring.simulate.summary import Comparison, compare
from adaspring.simulate.trace import scenario_of
from adaspring.space import analytic_tables
from adaspring.tables import MEMBERS, SlotTable, build_atlas

DEFAULT_SCENARIO = "wearable-day"


def add_simulate(subcommands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = subcommands.add_parser(
        "simulate", help="replay a day through monitor, trigger, policy and search, and compare with static subnets"
    )
    parser.add_argument(
        "--scenario", default=DEFAULT_SCENARIO, help="name or path of a scenario (default: %(default)s)"
    )
    parser.add_argument(
        "--trace",
        type=Path,
        help="recorded contexts to replay (.csv, .jsonl of adaspringctl record, or context_traces.npz); "
        "the scenario gives the physics and what the trace does not tell",
    )
    parser.add_argument("--home", choices=["a", "b"], default="b", help="home whose events are taken from an .npz")
    parser.add_argument("--bundle", default="har", help="folder or name of a bundle (default: har)")
    parser.add_argument("--device", default="raspberry-pi-zero-2w", help="device profile (default: %(default)s)")
    parser.add_argument("--tables", type=Path, help="measured tables (default: the profile's estimate)")
    parser.add_argument("--config", type=Path, help="configuration whose [policy] is replayed (default: the defaults)")
    parser.add_argument("--deadline", type=float, metavar="MS", help="of a frame (default: the policy's latency)")
    parser.add_argument(
        "--loss",
        type=float,
        metavar="POINTS",
        help="that a frame may have against the full network (default: the policy's)",
    )
    parser.add_argument("--seeds", type=int, default=5, help="truths to be judged by (default: 5)")
    parser.add_argument(
        "--statics", type=int, default=MEMBERS, help="subnets of the atlas at most (default: %(default)s)"
    )
    parser.add_argument("--out", type=Path, default=Path(), help="folder of day.html and day.json (default: here)")
    parser.set_defaults(command=_simulate)


@dataclass(frozen=True, slots=True)
class Simulated:
    """What came of it.

    Attributes:
        title: Of the day.
        comparison: Over all seeds.
        days: One for each seed.
        findings: What was wrong with or missing from the trace.
    """

    title: str
    comparison: Comparison
    days: tuple[Day, ...]
    findings: tuple[str, ...]


def simulate(
    scenario: Scenario,
    policy: Policy,
    *,
    bundle_name: str = "har",
    device: str = "raspberry-pi-zero-2w",
    tables_path: Path | None = None,
    seeds: int = 5,
    first_seed: int = 0,
    statics: int = MEMBERS,
    contract: Contract | None = None,
    findings: tuple[str, ...] = (),
) -> Simulated:
    """Live through a day once for each seed.

    Args:
        scenario: The day.
        policy: What the daemon goes by, and all are judged by.
        bundle_name: Folder or name of a bundle.
        device: Name or path of a device profile, for estimated tables.
        tables_path: Measured tables instead.
        seeds: How many truths.
        first_seed: Seed of the first of them; the others follow.
        statics: Subnets of the atlas, all of which are compared with, at most.
        contract: What frames are judged by; None for what the policy says.
        findings: What is to be told of the trace.

    Raises:
        ConfigError: If a number is not positive, or the day too short to be lived through.
    """
    length_s = (scenario.span.to_h - scenario.span.from_h) * 3600
    if length_s < STEP_S:
        raise ConfigError(
            f"the day lasts {length_s:.0f} s; it takes at least one step of {STEP_S:.0f} s: record longer"
        )
    if min(seeds, statics) < 1:
        raise ConfigError("--seeds and --statics must be at least 1")
    bundle = load_bundle(bundle_folder(bundle_name))
    space, accuracy = bundle.space, bundle.accuracy.percent
    if tables_path is None:
        tables = estimate_tables(bundle, "simulated", find_board(device, Path("/")))
    else:
        try:
            tables = load_tables(tables_path, space)
        except FileNotFoundError:
            raise ConfigError(f"there are no tables {tables_path}: measure them with adaspring profile") from None
    parameters = SlotTable.of_parameters(space, analytic_tables(space))
    atlas = build_atlas(space, accuracy, tables.latency_us, tables.energy_mj, parameters, members=statics)
    days = tuple(
        replay_day(scenario, policy, bundle=bundle, tables=tables, atlas=atlas, seed=seed, contract=contract)
        for seed in range(first_seed, first_seed + seeds)
    )
    smallest = space.format(atlas.genomes[int(atlas.energy_mj.argmin())])
    return Simulated(scenario.title, compare(days, smallest), days, findings)


def _simulate(options: argparse.Namespace) -> int:
    scenario = load_scenario(options.scenario)
    findings: tuple[str, ...] = ()
    if options.trace is not None:
        scenario, findings = scenario_of(load_recorded(options.trace, options.home), scenario)
    config = Config() if options.config is None else load_config(options.config)
    done = simulate(
        scenario,
        config.policy,
        bundle_name=options.bundle,
        device=options.device,
        tables_path=options.tables,
        seeds=options.seeds,
        statics=options.statics,
        contract=Contract(options.deadline, options.loss),
        findings=findings,
    )
    console = Console(stderr=True, highlight=False)
    for finding in done.findings:
        console.print(f"[yellow]{finding}[/]")
    options.out.mkdir(parents=True, exist_ok=True)
    page, data = options.out / "day.html", options.out / "day.json"
    page.write_text(html_report(done.title, done.comparison, done.days[0], done.findings), encoding="utf-8")
    data.write_bytes(json_report(done.title, done.comparison, done.days, done.findings))
    console.print(f"[green]✓[/] {page} and {data}")
    print(msgspec.json.encode(done.comparison).decode())
    return 0
