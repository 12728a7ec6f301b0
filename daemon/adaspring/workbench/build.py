"""From a recipe to a bundle: train, fit statistics, fit accuracy tables, judge once on the test split."""

from __future__ import annotations

import hashlib
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
from adaspring.workbench.accuracy import fit_tables, measure, unmeasured
from adaspring.workbench.augment import Augmenter, following_rows
from adaspring.workbench.card import write_card
from adaspring.workbench.checkpoint import Checkpoint
from adaspring.workbench.data import Rows, channel_scale, load_labels, load_rows
from adaspring.workbench.evaluate import Evaluation, evaluate
from adaspring.workbench.progress import steps
from adaspring.workbench.recipe import Recipe
from adaspring.workbench.sampling import diverse
from adaspring.workbench.statistics import fit, record
from adaspring.workbench.supernet import Weights, initial_weights
from adaspring.workbench.train import EpochReport, TrainingData, ensemble_phase, settle_phase, train


def build(
    recipe: Recipe, data: Path, out: Path, *, work: Path, command: str, resume: bool, console: Console
) -> Evaluation:
    """Make a bundle.

    Args:
        recipe: What to make.
        data: The data file.
        out: Folder of the bundle.
        work: Folder of the checkpoint.
        command: The command line, for the card.
        resume: Whether to go on from the checkpoint.
        console: Where progress goes.

    Returns:
        The evaluation on the test split.
    """
    space = SearchSpace(recipe.space)
    train_rows = load_rows(data, recipe, "train")
    validation = load_rows(data, recipe, "validation")
    scale = channel_scale(train_rows)

    weights, spent_s = _trained(recipe, space, train_rows, validation, scale, work=work, resume=resume, console=console)

    bundle = _draft(recipe, data, space, weights, scale)
    rng = np.random.default_rng([recipe.training.seed, 2])
    genomes = _with_ends(space, diverse(space, rng, recipe.accuracy.subnets))
    with steps(console, "accuracy", len(genomes)) as progress:
        percent = measure(OnnxEngine(bundle), genomes, validation, progress)
    bundle = Bundle(bundle.manifest, "", space, bundle.weights, fit_tables(space, genomes, percent))

    test = load_rows(data, recipe, "test")
    with steps(console, "evaluation", None) as progress:
        evaluation = evaluate(bundle, train_rows, test, "test", advance=progress)
    facts = TrainingFacts(
        command=command,
        seed=recipe.training.seed,
        duration_s=round(spent_s, 1),
        epochs=recipe.training.ensemble.epochs + recipe.training.settle.epochs,
        data=f"{recipe.data.file}: {len(train_rows)} windows of {len(np.unique(train_rows.volunteer))} volunteers",
        torch=str(torch.__version__),
    )
    accuracy = Accuracy(
        full_percent=round(evaluation.full.instant_percent, 2),
        median_percent=round(evaluation.median.instant_percent, 2),
        smallest_percent=round(evaluation.smallest.instant_percent, 2),
        test_rows=evaluation.rows,
    )
    manifest = msgspec.structs.replace(bundle.manifest, training=facts, accuracy=accuracy)
    card = write_card(recipe, manifest, bundle.accuracy, evaluation)
    write_bundle(out, manifest, bundle.weights, bundle.accuracy, card)
    load_bundle(out)
    return evaluation


def _trained(
    recipe: Recipe,
    space: SearchSpace,
    train_rows: Rows,
    validation: Rows,
    scale: npt.NDArray[np.float32],
    *,
    work: Path,
    resume: bool,
    console: Console,
) -> tuple[Weights, float]:
    """Weights and statistics out of both phases of the training, and the seconds that these took."""
    how = recipe.training
    data = _training_data(recipe, train_rows, validation, scale)
    digest = hashlib.sha256(msgspec.json.encode((recipe.data, recipe.space, how, recipe.statistics))).hexdigest()
    first, second = work / "ensemble.safetensors", work / "settle.safetensors"
    if not resume:
        first.unlink(missing_ok=True)
        second.unlink(missing_ok=True)

    def ensemble() -> Weights:
        phase = ensemble_phase(space, how, data)
        with steps(console, "ensemble", phase.how.epochs) as tell:
            return train(
                space,
                how,
                phase,
                data,
                lambda: initial_weights(space, how.seed, how.identity),
                checkpoint=first,
                recipe=digest,
                report=lambda epoch: tell(_line(epoch)),
            )

    def fitted() -> Weights:
        weights = ensemble()
        rng = np.random.default_rng([how.seed, 1])
        genomes = _with_ends(space, diverse(space, rng, recipe.statistics.subnets))
        x = torch.from_numpy(train_rows.thinned(recipe.statistics.rows).x * scale[:, None])
        with steps(console, "statistics", len(genomes)) as tell:
            observed = record(space, weights, genomes, x, tell)
        return weights | fit(space, observed, recipe.statistics.ridge)

    phase = settle_phase(space, how)
    with steps(console, "settle", phase.how.epochs) as tell:
        weights = train(
            space,
            how,
            phase,
            data,
            fitted,
            checkpoint=second,
            recipe=digest,
            report=lambda epoch: tell(_line(epoch)),
        )
    return weights, sum(Checkpoint.load(path, digest).spent_s for path in (first, second))


def _line(epoch: EpochReport) -> str:
    judged = "" if epoch.validation_percent is None else f", validation {epoch.validation_percent:.2f} %"
    return f"epoch {epoch.epoch}: loss {epoch.loss:.4f}{judged}"


def _training_data(recipe: Recipe, train_rows: Rows, validation: Rows, scale: npt.NDArray[np.float32]) -> TrainingData:
    factor = torch.from_numpy(scale)
    windows = Augmenter(
        x=torch.from_numpy(train_rows.x) * factor[:, None],
        following=following_rows(train_rows),
        scale=factor,
        how=recipe.training.augment,
    )
    return TrainingData(
        windows,
        torch.from_numpy(train_rows.y),
        torch.from_numpy(validation.x) * factor[:, None],
        torch.from_numpy(validation.y),
    )


def _with_ends(space: SearchSpace, genomes: Genome) -> Genome:
    return np.concatenate([[space.full(), space.smallest()], genomes])


def _draft(recipe: Recipe, data: Path, space: SearchSpace, weights: Weights, scale: npt.NDArray[np.float32]) -> Bundle:
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
        output=OutputSpec(name="logits", labels=load_labels(data)),
        training=TrainingFacts(command="", seed=0, duration_s=0.0, epochs=0, data="", torch=""),
        accuracy=Accuracy(full_percent=0.0, median_percent=0.0, smallest_percent=0.0, test_rows=0),
        licence=f"Weights and data stand outside the project's licence. {recipe.data.licence}",
        files={},
    )
    arrays = {name: tensor.detach().numpy() for name, tensor in weights.items()}
    return Bundle(manifest, "", space, arrays, unmeasured(space))
