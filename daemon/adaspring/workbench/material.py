"""What the data of a recipe gives: rows that choices are made on, their scale, and what training reads of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from adaspring.workbench.augment import Batches
from adaspring.workbench.data import Rows, channel_scale, load_labels, load_rows
from adaspring.workbench.recipe import Recipe
from adaspring.workbench.train import RECALIBRATION_ROWS, TrainingData


@dataclass(frozen=True, slots=True)
class Material:
    """The data of a recipe, but for the test split.

    Attributes:
        data: The data file.
        labels: Names of the classes.
        train: Training rows.
        validation: Rows held out of them, on which choices are made.
        scale: Factor of each channel, shape ``(channels,)``.
        training: What the training loop reads.
    """

    data: Path
    labels: tuple[str, ...]
    train: Rows
    validation: Rows
    scale: npt.NDArray[np.float32]
    training: TrainingData

    @staticmethod
    def load(recipe: Recipe, data: Path) -> Material:
        """Read what a recipe names.

        Raises:
            DataError: If the data is not what the recipe describes.
        """
        train, validation = load_rows(data, recipe, "train"), load_rows(data, recipe, "validation")
        scale = channel_scale(train)
        training = training_data(recipe, train, validation, scale)
        return Material(data, load_labels(data, recipe), train, validation, scale, training)


def training_data(recipe: Recipe, rows: Rows, validation: Rows, scale: npt.NDArray[np.float32]) -> TrainingData:
    """What the training loop reads of the rows of a recipe."""
    batches = Batches.of(rows, recipe.space.outputs, scale, recipe.training.augment)
    # In random order, so that any first part of them is spread over groups and classes too.
    calibration = rows.thinned(max(RECALIBRATION_ROWS, recipe.statistics.most_rows))
    calibration = calibration.take(np.random.default_rng(recipe.training.seed).permutation(len(calibration)))
    return TrainingData(
        batches,
        batches.scaled(calibration.inputs()),
        batches.scaled(validation.inputs()),
        torch.from_numpy(validation.y),
    )
