"""``adaspring``: the workbench on the command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from math import inf
from pathlib import Path

from adaspring import __version__
from adaspring.cli.demo.command import add_demo
from adaspring.cli.doctor_command import add_doctor
from adaspring.cli.emulate_command import add_emulate
from adaspring.cli.fleet.command import add_fleet
from adaspring.cli.profile_command import add_profile
from adaspring.cli.redecide_command import add_redecide
from adaspring.cli.simulate_command import add_simulate
from adaspring.errors import AdaSpringError, WorkbenchError
from adaspring.simulate import fit_scenario

Command = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand; returns the exit status."""
    options = build_parser().parse_args(arguments)
    command: Command = options.command
    try:
        return command(options)
    except AdaSpringError as error:
        print(f"adaspring: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def build_parser() -> argparse.ArgumentParser:
    """The parser of every command; manual page and completion are made from it too."""
    parser = argparse.ArgumentParser(prog="adaspring", description="Train, evaluate and profile AdaSpring bundles.")
    parser.add_argument("--version", action="version", version=f"adaspring {__version__}")
    subcommands = parser.add_subparsers(title="subcommands", required=True, metavar="SUBCOMMAND")

    _add_workbench(subcommands)
    add_profile(subcommands)
    add_redecide(subcommands)
    add_demo(subcommands)
    add_simulate(subcommands)
    add_doctor(subcommands)
    add_emulate(subcommands)
    add_fleet(subcommands)

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
    train.add_argument(
        "--minutes", type=float, default=inf, help="end behind the epoch that is under way then; --resume goes on"
    )

    quantize = subcommands.add_parser(
        "quantize", help="give a trained bundle int8 without training: ranges, accuracy tables, card"
    )
    refit = subcommands.add_parser(
        "refit", help="fit the statistics of a trained bundle anew without training, and all that rests on them"
    )
    for anew in (quantize, refit):
        anew.add_argument("--bundle", type=Path, metavar="DIR", help="folder of the bundle (default: by the recipe)")
        anew.add_argument("--out", type=Path, metavar="DIR", help="folder to write to (default: bundle/ by the recipe)")

    evaluate = subcommands.add_parser("evaluate", help="measure subnets of a bundle as the daemon assembles them")
    evaluate.add_argument("--bundle", type=Path, metavar="DIR", help="folder of the bundle (default: by the recipe)")
    evaluate.add_argument(
        "--split", choices=["validation", "test"], default="validation", help="rows (default: validation)"
    )
    evaluate.add_argument("--subnets", type=int, default=100, help="random subnets to measure (default: 100)")

    evaluate.add_argument(
        "--report",
        type=Path,
        metavar="HTML",
        help="compare with the trained baselines: write a page, and JSON beside it",
    )
    evaluate.add_argument("--runs", type=int, default=200, help="timed runs of each subnet in a report (default: 200)")
    evaluate.add_argument("--noisy", action="store_true", help="report timings of a noisy machine all the same")

    baselines = subcommands.add_parser("baselines", help="train what a bundle is compared with")
    baselines.add_argument("--bundle", type=Path, metavar="DIR", help="folder of the bundle (default: by the recipe)")
    baselines.add_argument(
        "--minutes", type=float, default=inf, help="end behind the epoch that is under way then; again goes on"
    )
    baselines.add_argument(
        "--ablations", action="store_true", help="train the recipe without each of its parts instead"
    )
    evaluate.add_argument(
        "--state", type=Path, metavar="DIR", help="state folder with this device's tables (default: the daemon's)"
    )
    for parser in (evaluate, baselines):
        parser.add_argument(
            "--work", type=Path, metavar="DIR", help="folder of the baselines (default: .cache/baselines/NAME)"
        )

    folds = subcommands.add_parser(
        "folds", help="cross-validate: train without each group of the training rows, test on it"
    )
    folds.add_argument("--bundle", type=Path, metavar="DIR", help="folder of the bundle (default: by the recipe)")
    folds.add_argument("--work", type=Path, metavar="DIR", help="folder of checkpoints (default: .cache/folds/NAME)")
    folds.add_argument("--only", nargs="*", default=[], metavar="GROUP", help="groups to leave out (default: each)")
    folds.add_argument(
        "--minutes", type=float, default=inf, help="end behind the epoch that is under way then; again goes on"
    )

    sample = subcommands.add_parser("sample", help="write the sample of the test split that ships with a bundle")
    sample.add_argument("--out", type=Path, metavar="DIR", help="folder to write to (default: sample/ by the recipe)")

    named = {
        "train": train,
        "quantize": quantize,
        "refit": refit,
        "evaluate": evaluate,
        "baselines": baselines,
        "folds": folds,
        "sample": sample,
    }
    for name, parser in named.items():
        parser.add_argument("recipe", type=Path, help="path of a recipe.toml")
        parser.add_argument("--data", type=Path, metavar="DIR", help="folder of the data (default: $ADASPRING_DATA)")
        parser.add_argument("--threads", type=int, default=2, help="threads of torch (default: 2)")
        parser.set_defaults(command=_workbench, name=name)

    card = subcommands.add_parser("card", help="measure latency and energy on this machine for the card of a bundle")
    card.add_argument("recipe", type=Path, help="path of a recipe.toml")
    card.add_argument("--bundle", type=Path, metavar="DIR", help="folder of the bundle (default: by the recipe)")
    card.add_argument("--runs", type=int, default=200, help="timed runs of each subnet (default: 200)")
    card.set_defaults(command=_workbench, name="card")


def _workbench(options: argparse.Namespace) -> int:
    try:
        from adaspring.cli import workbench  # noqa: PLC0415 - imports torch, which the other subcommands do without
    except ModuleNotFoundError as error:
        if error.name not in {"torch", "PIL"}:
            raise
        raise WorkbenchError("training needs torch and Pillow: pip install 'adaspring[train]'") from error
    commands = {
        "train": workbench.run_train,
        "quantize": workbench.run_anew,
        "refit": workbench.run_anew,
        "evaluate": workbench.run_evaluate,
        "baselines": workbench.run_baselines,
        "folds": workbench.run_folds,
        "sample": workbench.run_sample,
        "card": workbench.run_card,
    }
    return commands[options.name](options)


def _fit_scenario(options: argparse.Namespace) -> int:
    fit_scenario(options.traces)
    return 0


if __name__ == "__main__":
    sys.exit(main())
