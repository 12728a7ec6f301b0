"""``adaspringctl``: look at and steer the running daemon."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from typing import Any

import msgspec
from rich.console import Console

import adaspring
from adaspring.app.evolution import Evolution
from adaspring.app.status import Status
from adaspring.cli.explain import explanation
from adaspring.cli.render import context_table, evolution_line, status_view
from adaspring.client import ControlClient, EventSubscriber
from adaspring.context.model import Context
from adaspring.errors import AdaSpringError
from adaspring.serve.protocol import TOPICS, Event

Command = Callable[[argparse.Namespace, Console], None]


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    options = _parser().parse_args(arguments)
    command: Command = options.run
    try:
        command(options, Console(highlight=False))
    except AdaSpringError as error:
        print(f"adaspringctl: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # Whoever reads has had enough (`adaspringctl events | head`); what is buffered goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="adaspringctl", description="Look at and steer the running daemon.")
    parser.add_argument("--version", action="version", version=f"adaspringctl {adaspring.__version__}")
    parser.add_argument(
        "--socket", metavar="FOLDER", help="folder of the daemon's sockets (default: /run/adaspring, or yours)"
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def add(name: str, run: Command, text: str, *, json: bool = True) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(run=run)
        if json:
            command.add_argument("--json", action="store_true", help="print JSON")
        return command

    add("status", _status, "active subnet, predicted and measured, context, counters")
    add("explain", _explain, "why this subnet: context, budgets, choice, runners-up and why they lost")
    events = add("events", _events, "print events as they come")
    events.add_argument("--topic", action="append", choices=TOPICS, help="only these (default: all)")
    events.add_argument("--count", type=int, help="end after so many")
    add("evolve", _evolve, "decide and swap now, for the context as it is")
    pin = add("pin", _pin, "hold a subnet until unpin or evolve")
    pin.add_argument("subnet", help='in text form, for example "f32:c64.-.c96" (status shows the active one)')
    add("unpin", _evolve, "let the search decide again")
    return parser


def _endpoint(options: argparse.Namespace, name: str) -> str | None:
    return f"ipc://{options.socket.rstrip('/')}/{name}.sock" if options.socket else None


def _call(options: argparse.Namespace, command: str, **arguments: Any) -> Any:
    with ControlClient(_endpoint(options, "control")) as control:
        return control.call(command, **arguments)


def _print_json(value: Any) -> None:
    print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def _status(options: argparse.Namespace, console: Console) -> None:
    result = _call(options, "status")
    if options.json:
        _print_json(result)
    else:
        console.print(status_view(msgspec.convert(result, Status)))


def _explain(options: argparse.Namespace, console: Console) -> None:
    result = _call(options, "explain")
    if options.json:
        _print_json(result)
    else:
        console.print(explanation(msgspec.convert(result, Evolution)))


def _evolve(options: argparse.Namespace, console: Console) -> None:
    _show_evolution(options, console, _call(options, "evolve"))


def _pin(options: argparse.Namespace, console: Console) -> None:
    _show_evolution(options, console, _call(options, "pin", subnet=options.subnet))


def _show_evolution(options: argparse.Namespace, console: Console, result: Any) -> None:
    if options.json:
        _print_json(result)
    else:
        console.print(evolution_line(msgspec.convert(result, Evolution)))


def _events(options: argparse.Namespace, console: Console) -> None:
    topics = tuple(options.topic or TOPICS)
    with EventSubscriber(_endpoint(options, "events"), topics=topics) as events:
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
        console.print(evolution_line(msgspec.convert(event.data, Evolution)))
    elif event.topic == "context":
        console.print(context_table(msgspec.convert(event.data, Context)))
    else:
        console.print(msgspec.json.encode(event.data).decode())


if __name__ == "__main__":
    sys.exit(main())
