"""``adaspringctl``: look at and steer the running daemon."""

from __future__ import annotations

import argparse
import os
import sys

import msgspec
from rich.console import Console

import adaspring
from adaspring.cli.ctl.bundle import add_bundle
from adaspring.cli.ctl.command import Command, Commands
from adaspring.cli.ctl.inspect import add_inspect
from adaspring.cli.ctl.keys import add_keys
from adaspring.cli.ctl.report import add_report
from adaspring.cli.ctl.service import add_service
from adaspring.cli.ctl.steer import add_steer
from adaspring.cli.top.command import add_top
from adaspring.errors import AdaSpringError


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    options = build_parser().parse_args(arguments)
    command: Command = options.run
    try:
        command(options, Console(highlight=False))
    except AdaSpringError as error:
        print(f"adaspringctl: {error}", file=sys.stderr)
        return 1
    except msgspec.ValidationError as error:
        print(f"adaspringctl: the daemon answers as another version does ({error}); restart it", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # Whoever reads has had enough (`adaspringctl events | head`); what is buffered goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def build_parser() -> argparse.ArgumentParser:
    """The parser of every command; manual page and completion are made from it too."""
    parser = argparse.ArgumentParser(prog="adaspringctl", description="Look at and steer the running daemon.")
    parser.add_argument("--version", action="version", version=f"adaspringctl {adaspring.__version__}")
    parser.add_argument(
        "--socket", metavar="FOLDER", help="folder of the daemon's sockets (default: /run/adaspring, or yours)"
    )
    commands = Commands(parser.add_subparsers(title="commands", required=True, metavar="COMMAND"))
    add_inspect(commands)
    add_top(commands)
    add_steer(commands)
    add_keys(commands)
    add_bundle(commands)
    add_report(commands)
    add_service(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
