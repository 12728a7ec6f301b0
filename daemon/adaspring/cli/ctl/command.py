"""What the commands of ``adaspringctl`` share."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import msgspec
from rich.console import Console

from adaspring.client import ControlClient

Command = Callable[[argparse.Namespace, Console], None]


class Commands:
    """Collects commands for the parser.

    Attributes:
        parsers: Of the commands added so far.
    """

    def __init__(self, subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
        """Add to subparsers."""
        self._subparsers = subparsers
        self.parsers: list[argparse.ArgumentParser] = []

    def add(self, name: str, run: Command, text: str, *, json: bool = True) -> argparse.ArgumentParser:
        """Add one command.

        Args:
            name: What people type.
            run: Carries it out.
            text: One line of help.
            json: Whether it has ``--json``.

        Returns:
            Its parser, for more arguments.
        """
        command = self._subparsers.add_parser(name, help=text, description=text)
        command.set_defaults(run=run)
        if json:
            command.add_argument("--json", action="store_true", help="print JSON")
        self.parsers.append(command)
        return command

    def add_group(self, name: str, text: str) -> Commands:
        """Add a command that has commands of its own."""
        group = self._subparsers.add_parser(name, help=text, description=text)
        return Commands(group.add_subparsers(title="commands", required=True, metavar="COMMAND"))


def add_model(parser: argparse.ArgumentParser, default: str) -> None:
    """Give a command ``--model``.

    Args:
        parser: Of the command.
        default: What it acts on where no model is named and there are several.
    """
    parser.add_argument("--model", metavar="NAME", help=f"one of several models (default: {default})")


def endpoint(options: argparse.Namespace, name: str) -> str | None:
    """Of a socket of the daemon that ``--socket`` names; None for its default place."""
    return f"ipc://{options.socket.rstrip('/')}/{name}.sock" if options.socket else None


def call(options: argparse.Namespace, command: str, **arguments: Any) -> Any:
    """Have the daemon carry out a command; see `ControlClient.call`."""
    with ControlClient(endpoint(options, "control")) as control:
        return control.call(command, **arguments)


def call_each(options: argparse.Namespace, command: str) -> list[Any]:
    """The result of a command for the model that ``--model`` names, or for each one that is served."""
    with ControlClient(endpoint(options, "control")) as control:
        if options.model is not None:
            return [control.call(command, model=options.model)]
        status = control.call("status")
        models = status.get("models", ())
        if len(models) < 2:  # noqa: PLR2004 - several
            return [status if command == "status" else control.call(command)]
        return [control.call(command, model=name) for name in models]


def print_json(value: Any) -> None:
    """Print a value as indented JSON."""
    print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())
