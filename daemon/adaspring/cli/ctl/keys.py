"""``adaspringctl keys``: make CURVE keys for TCP."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

from adaspring.cli.ctl.command import Commands
from adaspring.client.curve import create_keys


def add_keys(commands: Commands) -> None:
    """Add the command."""
    keys = commands.add(
        "keys", _keys, "make a pair of CURVE keys, for the daemon or for a client that reaches it over TCP", json=False
    )
    keys.add_argument("name", help="of the pair, for example that of the machine that will hold the secret")
    keys.add_argument("--folder", type=Path, default=Path(), help="where the files go (default: here)")


def _keys(options: argparse.Namespace, console: Console) -> None:
    public, secret = create_keys(options.folder, options.name)
    console.print(f"{secret}: keep it on the machine that uses it", soft_wrap=True)
    console.print(f"{public}: give it to the other side", soft_wrap=True)
