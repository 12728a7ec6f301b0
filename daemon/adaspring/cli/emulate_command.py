"""``adaspring emulate``: a daemon on a board that is not there, while a scenario passes."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import psutil
from rich.console import Console

from adaspring.app.config import parse_config
from adaspring.app.locate import find_board
from adaspring.app.status import Status
from adaspring.cli.demo.app import SensingApp
from adaspring.cli.process import DaemonProcess
from adaspring.client import ControlClient
from adaspring.errors import ConfigError
from adaspring.resources import resource
from adaspring.simulate import DayReplay, DayState, LiveTree, board_trees, load_board_tree, load_scenario, on_board
from adaspring.toml_file import read_toml

_REFRESH_HZ = 8.0
#: Hours pass in minutes here, so what takes time in the field takes a hundredth of it, unless a configuration
#: file says otherwise.
_DEFAULTS: dict[str, Any] = {
    "monitor": {"interval_s": 0.1},
    "policy": {"trigger": {"min_dwell_s": 0.5, "period_s": 10.0, "recovery_s": 2.0}},
}


def add_emulate(subcommands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = subcommands.add_parser("emulate", help="serve on an emulated board while a scenario passes")
    parser.add_argument("board", help=f"one of {', '.join(board_trees())}")
    parser.add_argument("--scenario", default="hot-day", help="name or path of a scenario (default: hot-day)")
    parser.add_argument("--seconds", type=float, default=60.0, help="real time that the scenario takes (default: 60)")
    parser.add_argument("--root", type=Path, metavar="DIR", help="folder of the live tree (default: a temporary one)")
    parser.add_argument("--config", type=Path, help="configuration of the daemon, to try a policy")
    parser.add_argument("--no-frames", action="store_true", help="stream no frames; your own client does")
    parser.set_defaults(command=_emulate)


def _emulate(options: argparse.Namespace) -> int:
    # Ending as on an error ends the daemon, too, and removes its folders.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(143))
    console = Console(highlight=False, soft_wrap=True)
    tree = load_board_tree(options.board)
    profile = find_board(tree.board, Path("/"))
    scenario = on_board(load_scenario(options.scenario), profile)
    config = _config(options.config, profile.name)
    with ExitStack() as stack:
        root = options.root or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="adaspring-board-")))
        load = _DaemonLoad()
        replay = DayReplay(scenario, LiveTree(root, board=tree), options.seconds, own_load=load.cores)
        daemon = stack.enter_context(DaemonProcess(config, sysroot=root))
        load.watch(daemon.process.pid)
        console.print(f"{tree.title}, kernel {tree.kernel}: {scenario.title}")
        console.print(f"live tree {root}, daemon {daemon.endpoint}; heat, power and latency are modelled")
        app = SensingApp(daemon.endpoint, resource("models", "har", "sample", "sample.npz"))
        control = stack.enter_context(daemon.control())
        if not options.no_frames:
            stack.enter_context(app.streaming())
        _follow(replay, control, app, console)
    return 0


def _follow(replay: DayReplay, control: ControlClient, app: SensingApp, console: Console) -> None:
    """Keep the tree at the time of the scenario, and print a line each second and at each change of subnet."""
    subnet, next_line_s = "", 0.0
    while True:
        day = replay.update()
        app.rate_hz = day.events_hz
        status = msgspec.convert(control.call("status"), Status)
        now_s = time.monotonic()
        if now_s >= next_line_s or status.subnet != subnet or replay.finished:
            subnet, next_line_s = status.subnet, now_s + 1.0
            console.print(_line(day, status), markup=False)
        if replay.finished:
            return
        time.sleep(1 / _REFRESH_HZ)


def _line(day: DayState, status: Status) -> str:
    context = status.context

    def shown(value: float | None, unit: str) -> str:
        return f"{'—' if value is None else format(value, '.1f'):>6} {unit}"

    hour, minute = divmod(int(day.time_s // 60), 60)
    throttled = {True: "throttled", False: "", None: "throttled?"}[context.throttled]
    return (
        f"{hour:02d}:{minute:02d} {day.activity:<8}{shown(context.temperature_c, '°C')}{shown(context.power_w, 'W')}"
        f"{shown(context.battery_percent, '%')} {throttled:<10} {status.subnet}"
    )


class _DaemonLoad:
    """Cores that the daemon keeps busy between two looks."""

    def __init__(self) -> None:
        self._process: psutil.Process | None = None

    def watch(self, pid: int) -> None:
        """Look at a process from now on."""
        self._process = psutil.Process(pid)
        self._process.cpu_percent()

    def cores(self) -> float:
        """The load since the last look; none before there is a process."""
        return 0.0 if self._process is None else self._process.cpu_percent() / 100


def _config(path: Path | None, profile: str) -> dict[str, Any]:
    """Configuration of the daemon: the person's, where there is one, on the emulated board."""
    config = dict(_DEFAULTS)
    if path is not None:
        config = read_toml(path, ConfigError)
        parse_config(config, str(path))
    # Frames are computed on this machine: timing them would give tables of another board a wrong name.
    return {**config, "device": {"profile": profile, "background_profiling": False}}
