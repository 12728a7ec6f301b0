"""The command: draw, listen, look again."""

from __future__ import annotations

import argparse
import signal
import sys
import time

from rich.console import Console
from rich.live import Live

from adaspring.cli.ctl.command import Commands, add_model, endpoint
from adaspring.cli.top.feed import Feed
from adaspring.cli.top.keyboard import Keyboard
from adaspring.cli.top.view import LEAST_LINES, screen
from adaspring.errors import ClientError, ConfigError

#: How soon a key, an event or another size of the terminal shows, in seconds.
_TURN_S = 0.2


def add_top(commands: Commands) -> None:
    """Add the command."""
    top = commands.add("top", _top, "a live view of context, subnet, latency and evolutions; q quits", json=False)
    top.add_argument("--interval", type=float, default=1.0, metavar="SECONDS", help="between two looks (default: 1)")
    add_model(top, "that of the highest priority; m shows the next")
    top.add_argument("--once", action="store_true", help="print the view once, for scripts; needs no terminal")


def _top(options: argparse.Namespace, console: Console) -> None:
    if not options.once and not console.is_terminal:
        raise ConfigError("top draws on a terminal: use top --once to print the view, or status --json for programs")
    if options.interval <= 0:
        raise ConfigError(f"--interval is {options.interval:g}; it must be more than 0 seconds")
    with Feed(endpoint(options, "control"), endpoint(options, "events"), options.model) as feed:
        if options.once:
            console.print(screen(feed, console.width), height=LEAST_LINES)
        else:
            _live(feed, console, options.interval)


def _live(feed: Feed, console: Console, interval_s: float) -> None:
    # Ending as on an error leaves the terminal as it was.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(143))
    trouble, drawn = "", None
    next_look_s = time.monotonic() + interval_s
    with Keyboard() as keys, Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            heard = feed.listen()
            looked = heard or time.monotonic() >= next_look_s
            if looked:
                next_look_s = time.monotonic() + interval_s
                trouble = _look(feed)
            if looked or drawn != console.size:
                drawn = console.size
                live.update(screen(feed, console.width, trouble), refresh=True)
            pressed = keys.pressed(_TURN_S).lower()
            if "q" in pressed:
                return
            if "m" in pressed:
                feed.show_next()
                next_look_s = 0.0


def _look(feed: Feed) -> str:
    """Look again; returns why that failed."""
    try:
        feed.look()
    except ClientError:
        return "nobody answers; trying again"
    return ""
