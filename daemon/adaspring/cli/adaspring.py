"""``adaspring``: the workbench on the command line."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from adaspring import __version__
from adaspring.cli.demo.command import add_demo
from adaspring.cli.profile_command import add_profile
from adaspring.errors import AdaSpringError
from adaspring.simulate import fit_scenario

Command = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand; returns the exit status."""
    options = _parser().parse_args(arguments)
    command: Command = options.command
    try:
        return command(options)
    except AdaSpringError as error:
        print(f"adaspring: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="adaspring", description="Train, evaluate and profile AdaSpring bundles.")
    parser.add_argument("--version", action="version", version=f"adaspring {__version__}")
    subcommands = parser.add_subparsers(title="subcommands", required=True, metavar="SUBCOMMAND")

    train = subcommands.add_parser("train", help="train a bundle from a recipe")
    _add_recipe(train)
    train.add_argument(
        "--out", type=Path, metavar="DIR", help="folder of the bundle (default: bundle/ beside the recipe)"
    )
    train.add_argument("--work", type=Path, metavar="DIR", help="folder of the checkpoint (default: .cache/train/NAME)")
    train.add_argument("--resume", action="store_true", help="go on from the checkpoint")
    train.set_defaults(command=_train)
    add_profile(subcommands)
    add_demo(subcommands)

    fit = subcommands.add_parser(
        "fit-scenario", help="fit battery and heat of a scenario to recorded traces, and print them"
    )
    fit.add_argument("traces", type=Path, help="context_traces.npz")
    fit.set_defaults(command=_fit_scenario)
    return parser


def _add_recipe(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", type=Path, help="path of a recipe.toml")
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder of the data (default: $ADASPRING_DATA)")


def _fit_scenario(options: argparse.Namespace) -> int:
    fit_scenario(options.traces)
    return 0


def _train(options: argparse.Namespace) -> int:
    import msgspec
    from rich.console import Console

    from adaspring.workbench.build import build
    from adaspring.workbench.data import find_data
    from adaspring.workbench.recipe import load_recipe

    recipe = load_recipe(options.recipe)
    evaluation = build(
        recipe,
        find_data(recipe, options.data),
        options.out or options.recipe.parent / "bundle",
        work=options.work or Path(".cache/train") / recipe.name,
        command=shlex.join(["adaspring", *sys.argv[1:]]),
        resume=options.resume,
        console=Console(stderr=True),
    )
    print(msgspec.json.encode(evaluation).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
