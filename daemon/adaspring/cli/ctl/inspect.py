"""``adaspringctl status``, ``explain``, ``tables``, ``record`` and ``events``: look at the running daemon."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from time import time
from typing import Any

import msgspec
from rich.console import Console, RenderableType
from rich.text import Text

from adaspring.app.evolution import Evolution
from adaspring.app.status import Status, TablesView
from adaspring.cli.ctl.command import Commands, add_model, call_each, endpoint, print_json
from adaspring.cli.explain import explanation
from adaspring.cli.render import context_table, evolution_line, status_view, tables_view
from adaspring.client import EventSubscriber
from adaspring.context.model import Context
from adaspring.errors import ConfigError
from adaspring.serve.protocol import TOPICS, Event


def add_inspect(commands: Commands) -> None:
    """Add the commands."""
    for name, run, text in (
        ("status", _status, "active subnet, predicted and measured, context, counters"),
        ("explain", _explain, "why this subnet: context, budgets, choice, runners-up and why they lost"),
        ("tables", _tables, "the lookup tables, what served frames corrected in them, and the atlas"),
    ):
        add_model(commands.add(name, run, text), "each")
    record = commands.add(
        "record", _record, "keep contexts and evolutions in a file for adaspring simulate", json=False
    )
    record.add_argument("file", type=Path, help="a new file, one event a line (.jsonl)")
    record.add_argument("--count", type=int, help="end after so many events")
    events = commands.add("events", _events, "print events as they come")
    events.add_argument("--topic", action="append", choices=TOPICS, help="only these (default: all)")
    events.add_argument("--count", type=int, help="end after so many")


def _status(options: argparse.Namespace, console: Console) -> None:
    _show(options, console, "status", lambda result: status_view(msgspec.convert(result, Status)))


def _explain(options: argparse.Namespace, console: Console) -> None:
    _show(options, console, "explain", lambda result: explanation(msgspec.convert(result, Evolution)))


def _tables(options: argparse.Namespace, console: Console) -> None:
    _show(options, console, "tables", lambda result: tables_view(msgspec.convert(result, TablesView), time()))


def _show(options: argparse.Namespace, console: Console, command: str, view: Callable[[Any], RenderableType]) -> None:
    results = call_each(options, command)
    if options.json:
        print_json(results[0] if len(results) == 1 else results)
        return
    for index, result in enumerate(results):
        console.print("\n" if index else "", end="")
        console.print(view(result))


def _record(options: argparse.Namespace, console: Console) -> None:
    try:
        file = options.file.open("xb")
    except FileExistsError:
        raise ConfigError(f"{options.file} is there already: name a new file") from None
    except OSError as error:
        raise ConfigError(f"{options.file} cannot be written: {error.strerror}") from error
    with file, EventSubscriber(endpoint(options, "events"), topics=("context", "evolution")) as events:
        for count, event in enumerate(events, start=1):
            file.write(msgspec.json.encode(event) + b"\n")
            # Whoever ends the recording ends it between two events.
            file.flush()
            if count == options.count:
                break
    console.print(f"{options.file}: {count} events")


def _events(options: argparse.Namespace, console: Console) -> None:
    topics = tuple(options.topic or TOPICS)
    with EventSubscriber(endpoint(options, "events"), topics=topics) as events:
        for count, event in enumerate(events, start=1):
            if options.json:
                print(msgspec.json.encode(event).decode(), flush=True)
            else:
                _print_event(console, event)
            if count == options.count:
                return


def _print_event(console: Console, event: Event) -> None:
    console.print(f"[bold]{event.at:%H:%M:%S}  {event.topic}[/] #{event.sequence}")
    if event.topic == "evolution":
        evolution = msgspec.convert(event.data, Evolution)
        console.print(Text(f"{evolution.model} ", "bold") + evolution_line(evolution))
    elif event.topic == "context":
        console.print(context_table(msgspec.convert(event.data, Context)))
    else:
        console.print(msgspec.json.encode(event.data).decode())
