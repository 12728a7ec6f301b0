"""Cross-validation: a model for each group of the training split, trained without it and tested on it.

Where a data set is small, one test split says little. Each model follows the recipe to its
last epoch: nothing is chosen on the rows that it is tested on, neither an epoch nor anything else.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
from rich.console import Console

from adaspring.engine.onnx.engine import OnnxEngine
from adaspring.errors import RecipeError
from adaspring.space import SearchSpace
from adaspring.workbench.accuracy import percent_of, verdicts
from adaspring.workbench.build import trained
from adaspring.workbench.data import load_rows
from adaspring.workbench.evaluate import drawn
from adaspring.workbench.finish import draft
from adaspring.workbench.material import Material
from adaspring.workbench.recipe import Recipe
from adaspring.workbench.sources import ValidationSection
from adaspring.workbench.train import Surroundings

#: Random subnets that are tested beside the full network.
SUBNETS = 30


class Fold(msgspec.Struct, frozen=True):
    """What one model came to.

    Attributes:
        group: The group that it was trained without and tested on.
        rows: Rows of the group.
        full_percent: Accuracy of the full network on them, in percent.
        random_percent: Median accuracy of random subnets, in float32, as the daemon assembles them.
        spent_s: Time of its training, in seconds.
    """

    group: int | str
    rows: int
    full_percent: float
    random_percent: float
    spent_s: float


def cross_validate(
    recipe: Recipe, data: Path, work: Path, *, console: Console, around: Surroundings, only: tuple[int | str, ...] = ()
) -> list[Fold]:
    """Train and test a model for every group, going on from the checkpoints that there are.

    Args:
        recipe: What is trained; which rows it holds out for validation does not count.
        data: The data file.
        work: Folder; each group has one of its own in it.
        console: Where progress goes.
        around: Where training runs.
        only: The groups to take; all where there are none.

    Raises:
        RecipeError: If the training rows have no groups, or not those that are asked for.
    """
    every = _held(recipe, ValidationSection(share=0.5))
    groups = np.unique(
        np.concatenate([load_rows(data, every, split).group for split in ("train", "validation")])
    ).tolist()
    if len(groups) == 1:
        raise RecipeError("the training rows are all of one group, so none is left out: set group in [data.reader]")
    unknown = [group for group in only if group not in groups]
    if unknown:
        raise RecipeError(f"the training rows have no group {unknown[0]!r}: they have {', '.join(map(str, groups))}")
    folds = []
    for group in only or groups:
        console.print(f"training without {group}")
        own = _held(recipe, ValidationSection(groups=(group,)))
        folds.append(_fold(own, data, work / f"without-{group}", console=console, around=around))
    return folds


def _fold(recipe: Recipe, data: Path, work: Path, *, console: Console, around: Surroundings) -> Fold:
    """The model that has not seen what the recipe holds out."""
    space, material = SearchSpace(recipe.space), Material.load(recipe, data)
    weights, spent_s = trained(
        recipe, space, material.training, work=work, resume=True, console=console, around=around, keep_last=True
    )
    bundle = draft(recipe, material.labels, space, weights, material.scale)
    genomes = space.in_precision(np.concatenate([[space.full()], drawn(space, SUBNETS)]), "float32")
    percent = percent_of(verdicts(OnnxEngine(bundle), genomes, material.validation))
    return Fold(
        group=recipe.data.validation.groups[0],
        rows=len(material.validation),
        full_percent=float(percent[0]),
        random_percent=float(np.median(percent[1:])),
        spent_s=round(spent_s, 1),
    )


def _held(recipe: Recipe, how: ValidationSection) -> Recipe:
    return msgspec.structs.replace(recipe, data=msgspec.structs.replace(recipe.data, validation=how))
