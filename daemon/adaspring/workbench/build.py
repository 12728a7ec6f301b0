"""From a recipe to a bundle: train, fit statistics, fit accuracy tables, judge once on the test split."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console

from adaspring.bundle import (
    FORMAT,
    Accuracy,
    Bundle,
    InputSpec,
    Manifest,
    OutputSpec,
    TrainingFacts,
    load_bundle,
    write_bundle,
)
from adaspring.engine.onnx.engine import OnnxEngine
from adaspring.space import Genome, SearchSpace
from adaspring.workbench.accuracy import fit_tables, unmeasured, verdicts
from adaspring.workbench.augment import Batches
from adaspring.workbench.card import write_card
from adaspring.workbench.checkpoint import Checkpoint
from adaspring.workbench.data import Rows, channel_scale, load_labels, load_rows
from adaspring.workbench.evaluate import Evaluation, evaluate
from adaspring.workbench.progress import steps
from adaspring.workbench.ranges import calibrate
from adaspring.workbench.recipe import Recipe
from adaspring.workbench.sampling import covering, diverse
from adaspring.workbench.statistics import fit, record
from adaspring.workbench.supernet import Weights, initial_weights
from adaspring.workbench.train import (
    RECALIBRATION_ROWS,
    EpochReport,
    Phase,
    Surroundings,
    TrainingData,
    backbone_phase,
    ensemble_phase,
    settle_phase,
    train,
)
from adaspring.workbench.transform import transformed

#: Most random subnets whose activation ranges are observed: a range is one or two numbers a
#: tensor, where the statistics that more subnets are recorded for are two a channel.
RANGE_SUBNETS = 400


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
    space = SearchSpace(recipe.space)
    train_rows = load_rows(data, recipe, "train")
    validation = load_rows(data, recipe, "validation")
    scale = channel_scale(train_rows)

    labels = load_labels(data, recipe)
    if around.arithmetic.note:
        console.print(around.arithmetic.note)
    materials = training_data(recipe, train_rows, validation, scale)
    weights, spent_s = trained(recipe, space, materials, work=work, resume=resume, console=console, around=around)
    if not around.team.leads:
        return None
    if "int8" in recipe.space.precisions:
        weights |= _ranges(recipe, space, weights, materials, console)

    bundle = draft(recipe, labels, space, weights, scale)
    rng = np.random.default_rng([recipe.training.seed, 2])
    genomes = _with_ends(space, diverse(space, rng, recipe.accuracy.subnets))
    with steps(console, "accuracy", len(genomes)) as progress:
        tables, judgement = fit_tables(space, genomes, verdicts(OnnxEngine(bundle), genomes, validation, progress))
    bundle = Bundle(bundle.manifest, "", space, bundle.weights, tables)

    test = load_rows(data, recipe, "test")
    with steps(console, "evaluation", None) as progress:
        evaluation = evaluate(bundle, train_rows, test, "test", advance=progress)
    facts = TrainingFacts(
        command=command,
        seed=recipe.training.seed,
        duration_s=round(spent_s, 1),
        epochs=recipe.training.epochs,
        data=_described(recipe, train_rows),
        torch=str(torch.__version__),
    )
    accuracy = Accuracy(
        full_percent=round(evaluation.full.instant_percent, 2),
        median_percent=round(evaluation.median.instant_percent, 2),
        smallest_percent=round(evaluation.smallest.instant_percent, 2),
        test_rows=evaluation.rows,
    )
    manifest = msgspec.structs.replace(bundle.manifest, training=facts, accuracy=accuracy)
    card = write_card(recipe, manifest, judgement, evaluation)
    write_bundle(out, manifest, bundle.weights, bundle.accuracy, card)
    load_bundle(out)
    return evaluation


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
) -> tuple[Weights, float]:
    """Weights and statistics out of all phases of the training, and the seconds that these took.

    Where `initial` is given, training starts from what it returns instead of from random weights.
    """
    how = recipe.training
    # Precision is chosen when all is trained: offering another one asks for no training.
    in_float = msgspec.structs.replace(recipe.space, precisions=("float32",))
    facts = (recipe.data, recipe.preprocessing, in_float, how, recipe.statistics)
    digest = hashlib.sha256(msgspec.json.encode(facts)).hexdigest()
    checkpoints = {name: work / f"{name}.safetensors" for name in ("backbone", "ensemble", "settle")}
    if not resume and around.team.leads:
        for checkpoint in checkpoints.values():
            checkpoint.unlink(missing_ok=True)

    def run(name: str, phase: Phase, begin: Callable[[], Weights]) -> Weights:
        with steps(console, name, phase.how.epochs) as tell:
            return train(
                space,
                how,
                phase,
                data,
                begin,
                checkpoint=checkpoints[name],
                recipe=digest,
                around=around,
                report=lambda epoch: tell(_line(epoch)),
            )

    def drawn() -> Weights:
        return initial_weights(space, how.seed, how.identity)

    def transformed_backbone() -> Weights:
        if how.backbone is None:
            return drawn()
        return transformed(space, run("backbone", backbone_phase(space, how.backbone, data, around), drawn))

    def fitted() -> Weights:
        weights = run("ensemble", ensemble_phase(space, how, data, around), initial or transformed_backbone)
        rng = np.random.default_rng([how.seed, 1])
        genomes = _with_ends(space, diverse(space, rng, recipe.statistics.subnets))
        with steps(console, "statistics", len(genomes)) as tell:
            observed = record(space, weights, genomes, data.calibration_x[: recipe.statistics.rows], tell)
        return weights | fit(space, observed, recipe.statistics.ridge)

    weights = run("settle", settle_phase(space, how), fitted)
    done = (path for path in checkpoints.values() if path.exists())
    return weights, sum(Checkpoint.load(path, digest).spent_s for path in done)


def _ranges(recipe: Recipe, space: SearchSpace, weights: Weights, data: TrainingData, console: Console) -> Weights:
    """Ranges of activations, calibrated on training rows."""
    rng = np.random.default_rng([recipe.training.seed, 3])
    drawn = diverse(space, rng, min(recipe.statistics.subnets, RANGE_SUBNETS))
    genomes = np.concatenate([covering(space), drawn])
    x = data.calibration_x[: recipe.statistics.rows]
    with steps(console, "ranges", len(genomes)) as tell:
        return calibrate(space, weights, genomes, x, ridge=recipe.statistics.ridge, advance=tell)


def _described(recipe: Recipe, rows: Rows) -> str:
    groups = len(np.unique(rows.group))
    return f"{recipe.data.file}: {len(rows)} {recipe.data.rows}" + (
        f" of {groups} {recipe.data.groups}" if groups > 1 else ""
    )


def _line(epoch: EpochReport) -> str:
    judged = "" if epoch.validation_percent is None else f", validation {epoch.validation_percent:.2f} %"
    return f"epoch {epoch.epoch}: loss {epoch.loss:.4f}{judged}"


def training_data(recipe: Recipe, rows: Rows, validation: Rows, scale: npt.NDArray[np.float32]) -> TrainingData:
    """What the training loop reads of the rows of a recipe."""
    batches = Batches.of(rows, recipe.space.outputs, scale, recipe.training.augment)
    # In random order, so that any first part of them is spread over groups and classes too.
    calibration = rows.thinned(max(RECALIBRATION_ROWS, recipe.statistics.rows))
    calibration = calibration.take(np.random.default_rng(recipe.training.seed).permutation(len(calibration)))
    return TrainingData(
        batches,
        batches.scaled(calibration.inputs()),
        batches.scaled(validation.inputs()),
        torch.from_numpy(validation.y),
    )


def _with_ends(space: SearchSpace, genomes: Genome) -> Genome:
    return np.concatenate([[space.full(), space.smallest()], genomes])


def draft(
    recipe: Recipe, labels: tuple[str, ...], space: SearchSpace, weights: Weights, scale: npt.NDArray[np.float32]
) -> Bundle:
    """The bundle in memory, before anything was measured."""
    manifest = Manifest(
        format=FORMAT,
        name=recipe.name,
        version=recipe.version,
        title=recipe.title,
        space=recipe.space,
        input=InputSpec(
            name=recipe.input.name,
            shape=(recipe.space.input_channels, *recipe.space.input_size),
            rate_hz=recipe.input.rate_hz,
            channels=recipe.input.channels,
            scale=tuple(float(factor) for factor in scale),
            description=recipe.input.description,
        ),
        output=OutputSpec(name="logits", labels=labels),
        training=TrainingFacts(command="", seed=0, duration_s=0.0, epochs=0, data="", torch=""),
        accuracy=Accuracy(full_percent=0.0, median_percent=0.0, smallest_percent=0.0, test_rows=0),
        licence=f"Weights and data stand outside the project's licence. {recipe.data.licence}",
        files={},
        preprocessing=recipe.preprocessing,
    )
    arrays = {name: tensor.detach().numpy() for name, tensor in weights.items()}
    return Bundle(manifest, "", space, arrays, unmeasured(space))
