"""From trained weights to a bundle: fit ranges and accuracy tables, judge once on the test split, write it down."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
from rich.console import Console

from adaspring.app.locate import find_board
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
from adaspring.space import SearchSpace
from adaspring.workbench.accuracy import fit_tables, promised, unmeasured, verdicts
from adaspring.workbench.card import write_card
from adaspring.workbench.data import load_rows
from adaspring.workbench.evaluate import Evaluation, evaluate
from adaspring.workbench.material import Material
from adaspring.workbench.measured import section, with_section
from adaspring.workbench.progress import steps
from adaspring.workbench.promise import hold_to
from adaspring.workbench.ranges import calibrate
from adaspring.workbench.recipe import Recipe
from adaspring.workbench.sampling import covering, diverse, with_ends
from adaspring.workbench.supernet import Weights

#: Most random subnets whose activation ranges are observed: a range is one or two numbers a
#: tensor, where the statistics that more subnets are recorded for are two a channel.
RANGE_SUBNETS = 400

#: Training rows that ranges are observed on at least, where statistics are fitted to few and anchored
#: to many: the greatest of a few activations is no ceiling.
RANGE_ROWS = 512


def finish(
    recipe: Recipe, material: Material, weights: Weights, *, facts: TrainingFacts, out: Path, console: Console
) -> Evaluation:
    """Measure what was trained, and write the bundle.

    Args:
        recipe: What was made.
        material: Its data.
        weights: Trained weights with the statistics of their batch norms.
        facts: How they were trained.
        out: Folder of the bundle.
        console: Where progress goes.

    Returns:
        The evaluation on the test split.
    """
    space = SearchSpace(recipe.space)
    if "int8" in recipe.space.precisions:
        weights = weights | _ranges(recipe, space, weights, material, console)
    bundle = draft(recipe, material.labels, space, weights, material.scale)
    rng = np.random.default_rng([recipe.training.seed, 2])
    genomes = with_ends(space, diverse(space, rng, recipe.accuracy.subnets))
    engine = OnnxEngine(bundle)
    rows = material.validation.thinned(recipe.accuracy.rows)
    with steps(console, "accuracy", len(genomes)) as tell:
        right = verdicts(engine, genomes, rows, tell)
    front = promised(space, fit_tables(space, genomes, right)[0].percent)
    with steps(console, "front", len(front)) as tell:
        right = np.concatenate([right, verdicts(engine, front, rows, tell)])
    measured = np.concatenate([genomes, front])
    tables, judgement = fit_tables(space, measured, right)
    with steps(console, "promise", None) as tell:
        promise = hold_to(engine, space, measured, right, rows, random=len(genomes), advance=tell)
    bundle = Bundle(bundle.manifest, "", space, bundle.weights, tables)

    test = load_rows(material.data, recipe, "test")
    with steps(console, "evaluation", None) as tell:
        evaluation = evaluate(bundle, material.train, test, "test", advance=tell)
    accuracy = Accuracy(
        full_percent=round(evaluation.full.instant_percent, 2),
        median_percent=round(evaluation.median.instant_percent, 2),
        smallest_percent=round(evaluation.smallest.instant_percent, 2),
        test_rows=evaluation.rows,
    )
    manifest = msgspec.structs.replace(bundle.manifest, training=facts, accuracy=accuracy)
    card = write_card(recipe, manifest, judgement, promise, evaluation)
    card = with_section(card, section(bundle, find_board("auto", Path("/"))))
    write_bundle(out, manifest, bundle.weights, bundle.accuracy, card)
    load_bundle(out)
    return evaluation


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


def _ranges(recipe: Recipe, space: SearchSpace, weights: Weights, material: Material, console: Console) -> Weights:
    """Ranges of activations, calibrated on training rows."""
    rng = np.random.default_rng([recipe.training.seed, 3])
    drawn = diverse(space, rng, min(recipe.statistics.subnets, RANGE_SUBNETS))
    genomes = np.concatenate([covering(space), drawn])
    x = material.training.calibration_x[: max(recipe.statistics.rows, RANGE_ROWS if recipe.statistics.anchors else 0)]
    with steps(console, "ranges", len(genomes)) as tell:
        return calibrate(space, weights, genomes, x, ridge=recipe.statistics.ridge, advance=tell)
