"""The subcommands of ``adaspring`` that train and judge. They need torch, so `cli.adaspring` imports them late."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

from adaspring.app.config import Config, state_folder
from adaspring.app.locate import find_board
from adaspring.bundle import Bundle, load_bundle
from adaspring.workbench.anew import quantize, refit
from adaspring.workbench.arithmetic import Arithmetic
from adaspring.workbench.baselines.ablations import train_ablations
from adaspring.workbench.baselines.evidence import gather, train_all
from adaspring.workbench.build import build
from adaspring.workbench.data import find_data, load_rows
from adaspring.workbench.evaluate import Evaluation, evaluate
from adaspring.workbench.folds import cross_validate
from adaspring.workbench.measured import BEFORE, HEADING, measure_again
from adaspring.workbench.parallel import team
from adaspring.workbench.progress import steps
from adaspring.workbench.recipe import Recipe, load_recipe
from adaspring.workbench.sample import write_sample
from adaspring.workbench.threads import use_threads
from adaspring.workbench.train import Surroundings


def run_train(options: argparse.Namespace) -> int:
    """Train a bundle and write it; the last line is the evaluation as JSON."""
    recipe = load_recipe(options.recipe)
    data = find_data(recipe, options.data)
    use_threads(options.threads)
    console = Console(stderr=True)
    out = options.out or options.recipe.parent / "bundle"
    with _surroundings(recipe, options.minutes) as around:
        evaluation = build(
            recipe,
            data,
            out,
            work=options.work or Path(".cache", "train", recipe.name),
            command=shlex.join(["adaspring", "train", str(options.recipe), "--data", "DIR"]),
            resume=options.resume,
            console=console,
            around=around,
        )
    if evaluation is not None:
        _finished(options, out, evaluation)
    return 0


@contextmanager
def _surroundings(recipe: Recipe, minutes: float) -> Iterator[Surroundings]:
    """Where a training runs: its processes, its arithmetic, and so many minutes from now on."""
    ends_s = perf_counter() + 60.0 * minutes
    with team() as processes:
        yield Surroundings(Arithmetic.choose(recipe.training.precision), processes, ends_s)


def run_anew(options: argparse.Namespace) -> int:
    """Give a trained bundle int8, or statistics fitted anew; the last line is the evaluation as JSON."""
    recipe = load_recipe(options.recipe)
    data = find_data(recipe, options.data)
    use_threads(options.threads)
    out = options.out or options.recipe.parent / "bundle"
    make = {"quantize": quantize, "refit": refit}[options.name]
    evaluation = make(
        recipe,
        data,
        _bundle(options),
        out,
        command=shlex.join(["adaspring", options.name, str(options.recipe), "--data", "DIR"]),
        console=Console(stderr=True),
    )
    _finished(options, out, evaluation)
    return 0


def run_evaluate(options: argparse.Namespace) -> int:
    """Evaluate a bundle; the last line is the outcome as JSON."""
    recipe = load_recipe(options.recipe)
    data = find_data(recipe, options.data)
    use_threads(options.threads)
    if options.report is not None:
        return _report(options, recipe, data)
    bundle = _bundle(options)
    train, rows = load_rows(data, recipe, "train"), load_rows(data, recipe, options.split)
    with steps(Console(stderr=True), "evaluation", None) as tell:
        evaluation = evaluate(bundle, train, rows, options.split, subnets=options.subnets, advance=tell)
    _show(evaluation)
    return 0


def run_baselines(options: argparse.Namespace) -> int:
    """Train what a bundle is held against, or its recipe without each of its parts; goes on where it stopped."""
    recipe = load_recipe(options.recipe)
    data = find_data(recipe, options.data)
    use_threads(options.threads)
    with _surroundings(recipe, options.minutes) as around:
        console = Console(stderr=True)
        folder = _rivals_folder(options, recipe)
        if options.ablations:
            count = train_ablations(recipe, data, folder, console=console, around=around)
        else:
            count = train_all(recipe, _bundle(options), data, folder, console=console, around=around)
    print(f"{count} {'ablations' if options.ablations else 'baselines'} are trained")
    return 0


def run_card(options: argparse.Namespace) -> int:
    """Measure what a card says of one machine, and print that."""
    folder = options.bundle or options.recipe.parent / "bundle"
    card = measure_again(folder, load_bundle(folder), find_board("auto", Path("/")), options.runs)
    if options.bundle is None:
        (options.recipe.parent / "card.md").write_text(card, encoding="utf-8")
    print(card[card.index(HEADING) : card.index(BEFORE)].strip())
    return 0


def run_folds(options: argparse.Namespace) -> int:
    """Cross-validate a recipe; the last line is the outcome as JSON."""
    recipe = load_recipe(options.recipe)
    data = find_data(recipe, options.data)
    use_threads(options.threads)
    work = options.work or Path(".cache", "folds", recipe.name)
    with _surroundings(recipe, options.minutes) as around:
        only = tuple(int(group) if group.isdecimal() else group for group in options.only)
        folds = cross_validate(recipe, data, work, console=Console(stderr=True), around=around, only=only)
    table = Table(recipe.data.groups, title="Trained without each, tested on it")
    for heading in ("rows", "full %", "random subnets %"):
        table.add_column(heading, justify="right")
    for fold in folds:
        table.add_row(str(fold.group), str(fold.rows), f"{fold.full_percent:.2f}", f"{fold.random_percent:.2f}")
    Console(stderr=not sys.stdout.isatty()).print(table)
    outcome = {"folds": folds, "mean_percent": float(np.mean([fold.full_percent for fold in folds]))}
    if not only:
        # The model that ships is one more of them: the test split is what it was trained without.
        shipped = _bundle(options).manifest.accuracy
        outcome["shipped"] = {"rows": shipped.test_rows, "full_percent": shipped.full_percent}
        outcome["mean_with_shipped_percent"] = float(
            np.mean([*(fold.full_percent for fold in folds), shipped.full_percent])
        )
    print(msgspec.json.encode(outcome).decode())
    return 0


def _report(options: argparse.Namespace, recipe: Recipe, data: Path) -> int:
    """Write the page and the JSON of the whole comparison."""
    board, console = find_board("auto", Path("/")), Console(stderr=True)
    with steps(console, "comparison", None) as tell:
        report, html = gather(
            recipe,
            _bundle(options),
            data,
            _rivals_folder(options, recipe),
            board,
            state=options.state or state_folder(Config()),
            runs=options.runs,
            noisy=options.noisy,
            advance=tell,
        )
    console.print(f"ours was picked {report['picked']}")
    options.report.write_text(html, encoding="utf-8")
    options.report.with_suffix(".json").write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2))
    print(msgspec.json.encode({"tasks": {recipe.name: report["headline"]}}).decode())
    return 0


def _finished(options: argparse.Namespace, out: Path, evaluation: Evaluation) -> None:
    """Put the card beside the recipe, and show how good the bundle is."""
    (options.recipe.parent / "card.md").write_bytes((out / "card.md").read_bytes())
    _show(evaluation)


def _bundle(options: argparse.Namespace) -> Bundle:
    return load_bundle(options.bundle or options.recipe.parent / "bundle")


def _rivals_folder(options: argparse.Namespace, recipe: Recipe) -> Path:
    return options.work or Path(".cache", "baselines", recipe.name)


def run_sample(options: argparse.Namespace) -> int:
    """Write the sample that ships with a bundle."""
    recipe = load_recipe(options.recipe)
    out = options.out or options.recipe.parent / "sample"
    count = write_sample(recipe, find_data(recipe, options.data), out)
    print(f"{count} windows written to {out}")
    return 0


def _show(evaluation: Evaluation) -> None:
    console = Console(stderr=not sys.stdout.isatty())
    subnets = Table("subnet", title=f"Accuracy on {evaluation.rows:,} rows of the {evaluation.split} split")
    for heading in ("at once %", "recalibrated %", "MACs", "parameters", "peak activations"):
        subnets.add_column(heading, justify="right")
    named = {"full": evaluation.full, "median size": evaluation.median, "smallest": evaluation.smallest}
    for title, report in named.items():
        subnets.add_row(
            f"{title}: {report.name}",
            f"{report.instant_percent:.2f}",
            f"{report.recalibrated_percent:.2f}",
            f"{report.macs:,}",
            f"{report.parameters:,}",
            f"{report.peak_activation_elements:,}",
        )
    console.print(subnets)
    gaps = Table("subnets", title="Lost by not being recalibrated, and by int8, in points")
    for heading in ("count", "median", "95th percentile", "worst", "median accuracy %", "least accuracy %"):
        gaps.add_column(heading, justify="right")
    shown = {"random": evaluation.random, "front": evaluation.front}
    if evaluation.int8 is not None:
        shown["random, in int8 beside float32"] = evaluation.int8.random
    for title, gap in shown.items():
        figures = (gap.median, gap.p95, gap.worst, gap.instant_median, gap.instant_least)
        gaps.add_row(title, str(gap.subnets), *(f"{figure:.2f}" for figure in figures))
    console.print(gaps)
    console.print(
        f"accuracy tables: error {evaluation.predictor.error_points:.2f} points, "
        f"Kendall tau {evaluation.predictor.kendall_tau:.2f} (perfect: {evaluation.predictor.ceiling_tau:.2f})"
    )
    print(msgspec.json.encode(evaluation).decode())
