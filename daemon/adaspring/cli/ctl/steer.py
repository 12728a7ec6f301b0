"""``adaspringctl evolve``, ``pin`` and ``unpin``: steer the running daemon."""

from __future__ import annotations

import argparse
from typing import Any

import msgspec
from rich.console import Console

from adaspring.app.evolution import Evolution
from adaspring.cli.ctl.command import Commands, add_model, call, print_json
from adaspring.cli.render import evolution_line


def add_steer(commands: Commands) -> None:
    """Add the commands."""
    add_model(commands.add("evolve", _evolve, "decide and swap now, for the context as it is"), "all")
    pin = commands.add("pin", _pin, "hold a subnet until unpin or evolve")
    pin.add_argument("subnet", help='in text form, for example "f32:c64.-.c96" (status shows the active one)')
    add_model(pin, "none; with several it must be named")
    add_model(commands.add("unpin", _evolve, "let the search decide again"), "all")


def _evolve(options: argparse.Namespace, console: Console) -> None:
    _show_evolution(options, console, call(options, "evolve", model=options.model))


def _pin(options: argparse.Namespace, console: Console) -> None:
    _show_evolution(options, console, call(options, "pin", subnet=options.subnet, model=options.model))


def _show_evolution(options: argparse.Namespace, console: Console, result: Any) -> None:
    if options.json:
        print_json(result)
    else:
        console.print(evolution_line(msgspec.convert(result, Evolution)))
