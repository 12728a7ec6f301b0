"""``adaspring``: the workbench on the command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from adaspring import __version__
from adaspring.cli.demo.command import add_demo
from adaspring.cli.profile_command import add_profile
from adaspring.errors import AdaSpringError, WorkbenchError
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
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="adaspring", description="Train, evaluate and profile AdaSpring bundles.")
    parser.add_argument("--version", action="version", version=f"adaspring {__version__}")
    subcommands = parser.add_subparsers(title="subcommands", required=True, metavar="SUBCOMMAND")

    _add_workbench(subcommands)
    add_profile(subcommands)
    add_demo(subcommands)

    fit = subcommands.add_parser(
        "fit-scenario", help="fit battery and heat of a scenario to recorded traces, and print them"
    )
    fit.add_argument("traces", type=Path, help="context_traces.npz")
    fit.set_defaults(command=_fit_scenario)
    return parser


def _add_workbench(subcommands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    train = subcommands.add_parser("train", help="train a bundle from a recipe")
    train.add_argument("--out", type=Path, metavar="DIR", help="folder of the bundle (default: bundle/ by the recipe)")
    train.add_argument("--work", type=Path, metavar="DIR", help="folder of checkpoints (default: .cache/train/NAME)")
    train.add_argument("--resume", action="store_true", help="go on from the checkpoints")

    evaluate = subcommands.add_parser("evaluate", help="measure subnets of a bundle as the daemon assembles them")
    evaluate.add_argument("--bundle", type=Path, metavar="DIR", help="folder of the bundle (default: by the recipe)")
    evaluate.add_argument(
        "--split", choices=["validation", "test"], default="validation", help="rows (default: validation)"
    )
    evaluate.add_argument("--subnets", type=int, default=100, help="random subnets to measure (default: 100)")

    sample = subcommands.add_parser("sample", help="write the sample of the test split that ships with a bundle")
    sample.add_argument("--out", type=Path, metavar="DIR", help="folder to write to (default: sample/ by the recipe)")

    for name, parser in (("train", train), ("evaluate", evaluate), ("sample", sample)):
        parser.add_argument("recipe", type=Path, help="path of a recipe.toml")
        parser.add_argument("--data", type=Path, metavar="DIR", help="folder of the data (default: $ADASPRING_DATA)")
        parser.add_argument("--threads", type=int, default=2, help="threads of torch (default: 2)")
        parser.set_defaults(command=_workbench, name=name)


def _workbench(options: argparse.Namespace) -> int:
    try:
        from adaspring.cli import workbench  # noqa: PLC0415 - imports torch, which the other subcommands do without
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise WorkbenchError("training needs torch: pip install 'adaspring[train]'") from error
    commands = {"train": workbench.run_train, "evaluate": workbench.run_evaluate, "sample": workbench.run_sample}
    return commands[options.name](options)


def _fit_scenario(options: argparse.Namespace) -> int:
    fit_scenario(options.traces)
    return 0


if __name__ == "__main__":
    sys.exit(main())
