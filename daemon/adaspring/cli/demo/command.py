"""The command: profile if need be, start a daemon, stream, replay a day, sum up."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from contextlib import ExitStack, nullcontext
from pathlib import Path

import msgspec
from rich.console import Console
from rich.live import Live

from adaspring.app.evolution import Evolution
from adaspring.app.locate import find_board
from adaspring.app.status import Status
from adaspring.cli.demo.app import SensingApp
from adaspring.cli.demo.view import Moment, evolution_cells, screen, summary
from adaspring.cli.process import DaemonProcess
from adaspring.cli.profile_command import profile_if_missing
from adaspring.client import ControlClient, EventSubscriber
from adaspring.resources import resource
from adaspring.simulate import DayReplay, LiveTree, load_scenario

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
    state = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "adaspring"
    with ExitStack() as stack:
        tree = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="adaspring-board-")))
        scenario = load_scenario(options.scenario) if options.scenario else load_scenario()
        replay = DayReplay(scenario, LiveTree(tree), options.seconds)
        board = find_board("auto", Path("/")).name
        profile_if_missing("har", state, board, limit_s=25.0, console=console)
        # The files stand for another board, but frames are timed on this one: its profile counts.
        daemon = DaemonProcess({**CONFIG, "device": {"profile": board}}, state=state, sysroot=tree)
        stack.enter_context(daemon)
        console.print(f"[green]✓[/] adaspringd answers {daemon.ready_s:.2f} s after its start, on {daemon.endpoint}")
        app = SensingApp(daemon.endpoint, resource("models", "har", "sample", "sample.npz"))
        control, events = stack.enter_context(daemon.control()), stack.enter_context(daemon.events())
        with app.streaming():
            last = _Watcher(replay, control, events, app).watch(console)
        exit_code = daemon.stop()
        console.print(summary(last))
        console.print(f"[green]✓[/] adaspringd drained and ended with {exit_code}")
    return 1 if exit_code or last.tally.failed else 0


class _Watcher:
    """Follows the day and draws it."""

    def __init__(self, replay: DayReplay, control: ControlClient, events: EventSubscriber, app: SensingApp) -> None:
        self._replay = replay
        self._control = control
        self._events = events
        self._app = app
        self._swaps: list[tuple[float, Evolution]] = []
        self._energy_mj = 0.0
        self._full_energy_mj = 0.0
        self._counted = 0

    def watch(self, console: Console) -> Moment:
        """Draw until the day is over; returns its last moment."""
        drawn = Live(console=console, screen=True, auto_refresh=False) if console.is_terminal else nullcontext()
        with drawn as live:
            while True:
                moment = self._look(console if live is None else None)
                if live is not None:
                    live.update(screen(moment, console.width), refresh=True)
                if self._replay.finished:
                    return moment
                time.sleep(1 / REFRESH_HZ)

    def _look(self, console: Console | None) -> Moment:
        day = self._replay.update()
        self._app.rate_hz = day.events_hz
        status = msgspec.convert(self._control.call("status"), Status)
        while (event := self._events.receive(0.0)) is not None:
            if event.topic == "evolution":
                self._note(msgspec.convert(event.data, Evolution), day.time_s, console)
        self._account(status)
        return Moment(
            time_s=day.time_s,
            activity=day.activity,
            progress=self._replay.progress,
            status=status,
            tally=self._app.tally,
            energy_mj=self._energy_mj,
            full_energy_mj=self._full_energy_mj,
            evolutions=self._swaps,
        )

    def _note(self, evolution: Evolution, time_s: float, console: Console | None) -> None:
        if evolution.swapped:
            self._swaps.append((time_s, evolution))
            if console is not None:
                console.print("  ".join(cell.plain for cell in evolution_cells(time_s, evolution)))

    def _account(self, status: Status) -> None:
        answered = self._app.tally.answered
        frames, self._counted = answered - self._counted, answered
        self._energy_mj += frames * status.predicted.energy_mj
        self._full_energy_mj += frames * status.full_energy_mj
