"""Training rivals: the loop, rows, augmentation and epochs of the recipe, for each of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import torch
from rich.console import Console

from adaspring.bundle import Bundle, TrainingFacts, load_bundle, write_bundle
from adaspring.engine.onnx.engine import OnnxEngine
from adaspring.errors import BundleMissingError, WorkbenchError
from adaspring.space import SearchSpace
from adaspring.workbench.accuracy import fit_tables, verdicts
from adaspring.workbench.baselines.ablations import without_backbone
from adaspring.workbench.baselines.rivals import Rival
from adaspring.workbench.baselines.transform import factorised, pruned
from adaspring.workbench.build import trained
from adaspring.workbench.finish import draft
from adaspring.workbench.material import Material
from adaspring.workbench.progress import steps
from adaspring.workbench.recipe import Recipe
from adaspring.workbench.sampling import diverse
from adaspring.workbench.supernet import Weights, initial_weights
from adaspring.workbench.train import Surroundings

#: Subnets of an on-demand rival that are measured for its accuracy tables.
ON_DEMAND_SUBNETS = 400


def recipe_of(recipe: Recipe, rival: Rival) -> Recipe:
    """The recipe of a rival: its space, the budget of the recipe, and no subnets where it has none."""
    space = SearchSpace(rival.space)
    training, statistics = recipe.training, recipe.statistics
    if space.subnet_count == 1:
        # It learns alone all the time: what the backbone is given goes to its one phase.
        training = msgspec.structs.replace(without_backbone(training), random_subnets=0, validate_subnets=0)
        # One subnet is soon recorded with all rows, and has nothing to be anchored to.
        statistics = msgspec.structs.replace(statistics, subnets=0, rows=statistics.most_rows, anchors=0)
    return msgspec.structs.replace(
        recipe, name=f"{recipe.name}-{rival.name}", space=rival.space, training=training, statistics=statistics
    )


def train_rival(
    recipe: Recipe, rival: Rival, data: Path, work: Path, *, console: Console, around: Surroundings
) -> Bundle:
    """Train a rival to the end of its budget, going on from its checkpoint, and write its bundle.

    Args:
        recipe: The recipe of the task.
        rival: What to train.
        data: The data file.
        work: Folder of the rivals; each has one of its own in it.
        console: Where progress goes.
        around: Where training runs.

    Raises:
        WorkbenchError: If it starts from the uncompressed network and that is not trained yet.
    """
    own, folder = recipe_of(recipe, rival), work / rival.name
    try:
        return load_bundle(folder / "bundle")
    except BundleMissingError:
        console.print(f"training {rival.title}")
    space = SearchSpace(own.space)
    material = Material.load(own, data)
    weights, spent_s = trained(
        own,
        space,
        material.training,
        work=folder,
        resume=True,
        console=console,
        around=around,
        initial=_initial(own, rival, space, work),
    )
    bundle = draft(own, material.labels, space, weights, material.scale)
    if rival.kind == "on-demand":
        genomes = diverse(space, np.random.default_rng([own.training.seed, 2]), ON_DEMAND_SUBNETS)
        with steps(console, "accuracy", len(genomes)) as tell:
            tables, _ = fit_tables(space, genomes, verdicts(OnnxEngine(bundle), genomes, material.validation, tell))
        bundle = Bundle(bundle.manifest, "", space, bundle.weights, tables)
    how = own.training
    facts = TrainingFacts(
        command="adaspring baselines",
        seed=how.seed,
        duration_s=round(spent_s, 1),
        epochs=how.epochs,
        data=own.data.file,
        torch=str(torch.__version__),
    )
    manifest = msgspec.structs.replace(bundle.manifest, training=facts)
    write_bundle(folder / "bundle", manifest, bundle.weights, bundle.accuracy, f"# {rival.title}\n")
    return load_bundle(folder / "bundle")


def _initial(recipe: Recipe, rival: Rival, space: SearchSpace, work: Path) -> Callable[[], Weights] | None:
    """What training starts from, where that is not random weights."""
    if rival.start == "random":
        return None
    try:
        uncompressed = load_bundle(work / "uncompressed" / "bundle")
    except BundleMissingError as error:
        raise WorkbenchError(f"{rival.title} starts from the uncompressed backbone: train that first") from error
    given = {name: torch.from_numpy(array.copy()) for name, array in uncompressed.weights.items()}

    def transformed() -> Weights:
        start = initial_weights(space, recipe.training.seed, recipe.training.identity)
        return factorised(given, space, start) if rival.start == "svd" else pruned(given, space, start)

    return transformed
