"""From a recipe to a bundle: train phase after phase, then finish it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import torch
from rich.console import Console

from adaspring.bundle import TrainingFacts
from adaspring.space import SearchSpace
from adaspring.workbench.checkpoint import Checkpoint
from adaspring.workbench.data import Rows
from adaspring.workbench.evaluate import Evaluation
from adaspring.workbench.finish import finish
from adaspring.workbench.material import Material
from adaspring.workbench.progress import steps
from adaspring.workbench.recipe import PhaseSection, Recipe
from adaspring.workbench.sampling import balanced, with_ends
from adaspring.workbench.statistics import anchor, fit, record
from adaspring.workbench.supernet import Weights
from adaspring.workbench.train import (
    EpochReport,
    Phase,
    Surroundings,
    TrainingData,
    backbone_phase,
    ensemble_phase,
    settle_phase,
    train,
)
from adaspring.workbench.transfer import beginning, source_of
from adaspring.workbench.transform import transformed

#: Phases of a training, in their order.
PHASES = ("backbone", "ensemble", "settle")


def build(
    recipe: Recipe,
    data: Path,
    out: Path,
    *,
    work: Path,
    command: str,
    resume: bool,
    console: Console,
    around: Surroundings,
) -> Evaluation | None:
    """Make a bundle.

    Args:
        recipe: What to make.
        data: The data file.
        out: Folder of the bundle.
        work: Folder of the checkpoint.
        command: The command line, for the card.
        resume: Whether to go on from the checkpoint.
        console: Where progress goes.
        around: Where training runs.

    Returns:
        The evaluation on the test split; None in processes that only helped with the training.

    Raises:
        StageOverError: If the stage is over before the training is.
    """
    material = Material.load(recipe, data)
    if around.arithmetic.note:
        console.print(around.arithmetic.note)
    weights, spent_s = trained(
        recipe,
        SearchSpace(recipe.space),
        material.training,
        work=work,
        resume=resume,
        console=console,
        around=around,
    )
    if not around.team.leads:
        return None
    facts = TrainingFacts(
        command=command,
        seed=recipe.training.seed,
        duration_s=round(spent_s, 1),
        epochs=recipe.training.epochs,
        data=_described(recipe, material.train),
        torch=str(torch.__version__),
    )
    return finish(recipe, material, weights, facts=facts, out=out, console=console)


def trained(
    recipe: Recipe,
    space: SearchSpace,
    data: TrainingData,
    *,
    work: Path,
    resume: bool,
    console: Console,
    around: Surroundings,
    initial: Callable[[], Weights] | None = None,
    keep_last: bool = False,
) -> tuple[Weights, float]:
    """Weights and statistics out of all phases of the training, and the seconds that these took.

    Where `initial` is given, training starts from what it returns instead of from random weights;
    with `keep_last` nothing is chosen on the validation rows (see `train`).
    """
    how = recipe.training
    digests = {name: digest_of(recipe, name) for name in PHASES}
    checkpoints = {name: work / f"{name}.safetensors" for name in PHASES}
    if not resume and around.team.leads:
        for checkpoint in checkpoints.values():
            checkpoint.unlink(missing_ok=True)

    def run(name: str, phase: Phase, begin: Callable[[], Weights]) -> Weights:
        with steps(console, name, phase.how.epochs) as tell:
            weights = train(
                space,
                how,
                phase,
                data,
                begin,
                checkpoint=checkpoints[name],
                recipe=digests[name],
                around=around,
                report=lambda epoch: tell(_line(epoch)),
                keep_last=keep_last,
            )
        if around.team.leads and checkpoints[name].exists():
            Checkpoint.trim(checkpoints[name], digests[name])
        return weights

    def drawn() -> Weights:
        return beginning(space, how)

    def transformed_backbone() -> Weights:
        if how.backbone is None:
            return drawn()
        return transformed(space, run("backbone", backbone_phase(space, how.backbone, data, around), drawn))

    def fitted() -> Weights:
        weights = run("ensemble", ensemble_phase(space, how, data, around), initial or transformed_backbone)
        return weights | fitted_statistics(recipe, space, weights, data, console)

    weights = run("settle", settle_phase(space, how), fitted)
    done = ((path, digests[name]) for name, path in checkpoints.items() if path.exists())
    return weights, sum(Checkpoint.load(path, digest).spent_s for path, digest in done)


def fitted_statistics(
    recipe: Recipe, space: SearchSpace, weights: Weights, data: TrainingData, console: Console
) -> Weights:
    """Statistics of batch norm for every subnet of a supernet, as the recipe has them fitted."""
    how, rng = recipe.statistics, np.random.default_rng([recipe.training.seed, 1])
    genomes = with_ends(space, balanced(space, rng, how.subnets))
    with steps(console, "statistics", len(genomes)) as tell:
        rows = fit(space, record(space, weights, genomes, data.calibration_x[: how.rows], tell), how.ridge)
    if how.anchors:
        genomes = genomes[: how.anchors]
        with steps(console, "anchors", len(genomes)) as tell:
            rows = anchor(space, rows, record(space, weights, genomes, data.calibration_x[: how.anchor_rows], tell))
    return rows


def digest_of(recipe: Recipe, phase: str) -> str:
    """Digest of what decides how a phase ends: the phases behind it, and what follows them, do not."""
    # Precision is chosen when all is trained: offering another one asks for no training.
    in_float = msgspec.structs.replace(recipe.space, precisions=("float32",))
    later = dict.fromkeys(PHASES[PHASES.index(phase) + 1 :], PhaseSection(epochs=0, learning_rate=0.0))
    how = msgspec.structs.replace(recipe.training, **later)
    statistics = None if later else recipe.statistics
    facts = msgspec.to_builtins((recipe.data, recipe.preprocessing, in_float, how, statistics))
    # Checkpoints from before there were these keys are of recipes that do not set them.
    for name in PHASES:
        if facts[3][name] is not None and not facts[3][name]["only_statistics"]:
            del facts[3][name]["only_statistics"]
    # Where a bundle lies decides nothing, what is in it does.
    source = source_of(recipe.training)
    del facts[3]["start"]
    if source is not None:
        facts[3]["start"] = source.digest
    if facts[4] is not None and not facts[4]["anchors"]:
        del facts[4]["anchors"], facts[4]["anchor_rows"]
    return hashlib.sha256(msgspec.json.encode(facts)).hexdigest()


def _described(recipe: Recipe, rows: Rows) -> str:
    groups = len(np.unique(rows.group))
    return f"{recipe.data.file}: {len(rows)} {recipe.data.rows}" + (
        f" of {groups} {recipe.data.groups}" if groups > 1 else ""
    )


def _line(epoch: EpochReport) -> str:
    judged = "" if epoch.validation_percent is None else f", validation {epoch.validation_percent:.2f} %"
    return f"epoch {epoch.epoch}: loss {epoch.loss:.4f}{judged}"
