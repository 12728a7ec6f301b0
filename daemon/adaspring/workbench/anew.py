"""What a trained bundle can be given without training: its statistics, ranges, accuracy tables and card, made anew."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import torch
from rich.console import Console

from adaspring.bundle import Bundle
from adaspring.errors import WorkbenchError
from adaspring.space import SearchSpace, SpaceSpec
from adaspring.workbench.build import fitted_statistics
from adaspring.workbench.evaluate import Evaluation
from adaspring.workbench.finish import finish
from adaspring.workbench.material import Material
from adaspring.workbench.recipe import Recipe
from adaspring.workbench.supernet import Weights

#: How far the scale of a channel, measured again on the same rows, may be from what a bundle holds.
SCALE_TOLERANCE = 1e-3

#: Endings of the tensors that are fitted to trained weights.
STATISTICS = (".mean", ".log_std")


def quantize(recipe: Recipe, data: Path, trained: Bundle, out: Path, *, command: str, console: Console) -> Evaluation:
    """Give a trained bundle the precisions of its recipe, without training.

    Args:
        recipe: The recipe of the bundle, now with int8 among its precisions.
        data: The data file that the bundle was trained on.
        trained: The bundle; its weights and statistics stay as they are.
        out: Folder of the new bundle.
        command: The command line, for the card.
        console: Where progress goes.

    Returns:
        The evaluation on the test split.

    Raises:
        WorkbenchError: If the recipe offers no int8, or bundle, recipe and data do not belong together.
    """
    if "int8" not in recipe.space.precisions:
        raise WorkbenchError('the recipe offers no int8: set precisions = ["float32", "int8"] in [space]')
    material = _material(recipe, data, trained)
    return _finish(
        recipe, material, trained, _weights(trained), out, command=command, console=console, needless=("quantize",)
    )


def refit(recipe: Recipe, data: Path, trained: Bundle, out: Path, *, command: str, console: Console) -> Evaluation:
    """Fit the statistics of a trained bundle anew, as the recipe has them fitted, and all that rests on them.

    Args are those of `quantize`; what a settle phase taught the statistics is lost.

    Returns:
        The evaluation on the test split.

    Raises:
        WorkbenchError: If bundle, recipe and data do not belong together.
    """
    material = _material(recipe, data, trained)
    weights = {name: tensor for name, tensor in _weights(trained).items() if not name.endswith(STATISTICS)}
    rows = fitted_statistics(recipe, SearchSpace(recipe.space), weights, material.training, console)
    return _finish(
        recipe, material, trained, weights | rows, out, command=command, console=console, needless=("quantize", "refit")
    )


def _material(recipe: Recipe, data: Path, trained: Bundle) -> Material:
    if _in_float(trained.manifest.space) != _in_float(recipe.space):
        raise WorkbenchError(
            f"the bundle {trained.manifest.name} has another space than the recipe: take the recipe that it was "
            "trained by, or train it anew with 'adaspring train'"
        )
    material = Material.load(recipe, data)
    if not np.allclose(material.scale, trained.manifest.input.scale, rtol=SCALE_TOLERANCE):
        raise WorkbenchError(
            f"{data} is not the data that the bundle {trained.manifest.name} was trained on: its channels have another "
            "scale. Ranges must be observed on the training rows"
        )
    return material


def _weights(trained: Bundle) -> Weights:
    """All that does not depend on the precisions that are offered."""
    return {name: torch.from_numpy(array) for name, array in trained.weights.items() if not name.endswith(".range")}


def _finish(
    recipe: Recipe,
    material: Material,
    trained: Bundle,
    weights: Weights,
    out: Path,
    *,
    command: str,
    console: Console,
    needless: tuple[str, ...],
) -> Evaluation:
    """Finish, the command behind those so far, but for the subcommands that it makes needless."""
    facts = trained.manifest.training
    dropped = tuple(f"adaspring {subcommand} " for subcommand in needless)
    kept = [step for step in facts.command.split(" && ") if not step.startswith(dropped)]
    facts = msgspec.structs.replace(facts, command=" && ".join((*kept, command)))
    return finish(recipe, material, weights, facts=facts, out=out, console=console)


def _in_float(spec: SpaceSpec) -> SpaceSpec:
    return msgspec.structs.replace(spec, precisions=("float32",))
