"""``adaspring redecide``: decisions of the field made again, to the same result bit for bit."""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec

from adaspring.app.config import Config, state_folder
from adaspring.app.decisions import POLICY, redecide
from adaspring.app.locate import bundle_folder
from adaspring.bundle import load_bundle
from adaspring.errors import TableError


def add_redecide(subcommands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    text = "make kept decisions again and tell whether they come out the same, bit for bit"
    parser = subcommands.add_parser("redecide", help=text, description=text)
    parser.add_argument(
        "folder", type=Path, nargs="?", help="folder of decisions, or of several such (default: that of the daemon)"
    )
    parser.add_argument(
        "--bundle", default="har", help="folder of a bundle, or the name of one that ships (default: har)"
    )
    parser.set_defaults(command=_redecide)


def _redecide(options: argparse.Namespace) -> int:
    bundle = load_bundle(bundle_folder(options.bundle))
    folder = options.folder or state_folder(Config()) / "decisions" / bundle.manifest.name
    folders = [folder] if (folder / POLICY).exists() else sorted(path.parent for path in folder.glob(f"*/{POLICY}"))
    if not folders:
        raise TableError(f"there are no decisions in {folder}; a daemon keeps them in its state folder")
    results = [result for each in folders for result in redecide(each, bundle)]
    different = [result.where for result in results if not result.same]
    told = {"decisions": len(results), "same": len(results) - len(different), "different": different}
    print(msgspec.json.encode(told).decode())
    return 1 if different else 0
