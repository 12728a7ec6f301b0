"""The command: profile if need be, start a daemon, stream, replay a day, sum up."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import msgspec
from rich.console import Console

from adaspring.app.locate import find_board
from adaspring.cli.demo.app import SensingApp
from adaspring.cli.demo.view import summary
from adaspring.cli.demo.watcher import Watcher
from adaspring.cli.process import DaemonProcess
from adaspring.cli.profile_command import profile_if_missing
from adaspring.resources import resource
from adaspring.simulate import DEFAULT_SCENARIO, DayReplay, LiveTree, Scenario, load_scenario
from adaspring.simulate.scenario import HOURS_OF_A_DAY, Gap

#: Looks at daemon and sensors a second.
REFRESH_HZ = 8.0
#: What the daemon of the demonstration is told beside its folders. A day passes in a
#: minute, so everything that takes time in the field takes a thousandth of it here.
CONFIG = {
    "bundle": "har",
    "monitor": {"interval_s": 0.1},
    "policy": {
        "latency_p95_ms": 1.0,
        "trigger": {"min_dwell_s": 0.5, "period_s": 10.0, "recovery_s": 2.0},
    },
}


def add_demo(subcommands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = subcommands.add_parser("demo", help="serve real frames while a day of context passes in a minute")
    parser.add_argument("--seconds", type=float, default=60.0, help="real time of the replayed day (default: 60)")
    parser.add_argument("--scenario", help="name or path of a scenario (default: the one that ships)")
    parser.set_defaults(command=_demo)


def _demo(options: argparse.Namespace) -> int:
    # Ending as on an error ends the daemon, too, and removes its folders.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(143))
    console = Console()
    with ExitStack() as stack:
        daemon, app, watcher = begin_day(stack, console, options.seconds, options.scenario)
        with app.streaming():
            last = watcher.watch(console)
        exit_code = daemon.stop()
        console.print(summary(last))
        console.print(f"[green]✓[/] adaspringd drained and ended with {exit_code}")
    return 1 if exit_code or last.tally.failed else 0


def begin_day(
    stack: ExitStack, console: Console, seconds: float, scenario: str | None = None
) -> tuple[DaemonProcess, SensingApp, Watcher]:
    """Measure this device if need be, and start a daemon on the sensors of the day, with an app for it.

    Args:
        stack: Ends everything.
        console: Told of the progress.
        seconds: Real time of the day.
        scenario: Name or path; None for the one that ships.
    """
    state = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "adaspring"
    tree = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="adaspring-board-")))
    replay = DayReplay(_powerless(load_scenario(scenario or DEFAULT_SCENARIO)), LiveTree(tree), seconds)
    board = find_board("auto", Path("/")).name
    profile_if_missing("har", state, board, limit_s=25.0, console=console)
    # The files stand for another board, but frames are timed on this one: its profile counts.
    daemon = stack.enter_context(DaemonProcess({**CONFIG, "device": {"profile": board}}, state=state, sysroot=tree))
    console.print(f"[green]✓[/] adaspringd answers {daemon.ready_s:.2f} s after its start, on {daemon.endpoint}")
    app = SensingApp(daemon.endpoint, resource("models", "har", "sample", "sample.npz"))
    control, events = stack.enter_context(daemon.control()), stack.enter_context(daemon.events())
    return daemon, app, Watcher(replay, control, events, app)


def _powerless(scenario: Scenario) -> Scenario:
    """A day whose battery tells its charge and not its current.

    The power of a day that lasts a minute is not that of the frames that this machine computes meanwhile: held
    against each other, as the daemon would, the two make nonsense of what a frame is said to cost.
    """
    always = Gap(0.0, HOURS_OF_A_DAY, "/sys/class/power_supply/*/current_now")
    return msgspec.structs.replace(scenario, vanish=(*scenario.vanish, always))
