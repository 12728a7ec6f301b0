"""``recipe.toml``: everything that decides how a bundle comes to be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from re import search
from typing import Literal, get_args

import msgspec

from adaspring.errors import FeatureError, RecipeError, SpaceError
from adaspring.features import Preprocessing, build_pipeline
from adaspring.space import SearchSpace, SpaceSpec
from adaspring.toml_file import nearest, read_toml
from adaspring.workbench.augments import Augment
from adaspring.workbench.sources import DataSection


class InputSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The frame, as `bundle.InputSpec` has it; its scale is measured on the training rows.

    Attributes:
        name: Name of the tensor on the wire.
        description: One line for a person.
        channels: What each channel is, with its unit; a single name stands for all.
        rate_hz: Columns a second along the last axis; None where there is no time axis.
    """

    name: str
    description: str
    channels: tuple[str, ...]
    rate_hz: float | None = None


class PhaseSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One phase of the training.

    Attributes:
        epochs: Passes over the training rows.
        learning_rate: Peak of the cosine.
        subnet_weight: Weight of the gradient of each subnet beside that of the full network. Many
            subnets together outvote the network that teaches them all where each counts as much.
        only_statistics: Of the settle phase: whether the weights stay as they are, and nothing but
            the fitted statistics learns.
    """

    epochs: int
    learning_rate: float
    subnet_weight: float = 1.0
    only_statistics: bool = False


class TrainingSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The ensemble training (see `train`).

    Attributes:
        seed: Seed of everything random.
        backbone: The phase before all others, in which the full network learns alone; the
            operators then start from its parameters (see `transform`). Without it they
            start from random ones.
        ensemble: The phase in which every subnet normalises with its own batch.
        settle: The phase behind it, in which every subnet normalises with the fitted
            statistics, as an assembled one does.
        batch: Rows of one step of the full network.
        random_subnets: Subnets drawn in each step beside the full and the smallest.
        subnet_rows: Rows of the batch that each of them sees.
        feature_weight: Weight of the distance between the features of a subnet and those
            of the full network, slot by slot, beside the distance of the answers.
        identity: Share of the identity in the initial weights of slots of stride 1.
        weight_decay: Of AdamW, on convolutions and the classifier.
        label_smoothing: Share of probability spread over all classes.
        average: Decay of the running average of the weights that is validated and kept.
        validate_every: Epochs between two validations.
        validate_subnets: Random subnets validated beside the full and the smallest.
        augment: Augmentation of the training rows.
        distil: Whether subnets learn what the full network answers; if not, they learn the labels.
        conflict: What is done where the gradient of the subnets works against that of the full
            network: ``"project"`` takes that part off it, ``"add"`` adds both as they are.
        precision: Arithmetic of the convolutions; ``"bfloat16"`` falls back to float32, and says
            so, where the processor has none.
        patience: Validations in a row that may bring nothing better before a phase ends early;
            0 never ends it.
        start: Folder of a bundle whose weights the training starts from where layers are the same,
            in a recipe relative to it; empty where all start at random (see `transfer`).
    """

    seed: int
    ensemble: PhaseSection
    settle: PhaseSection
    batch: int
    random_subnets: int
    subnet_rows: int
    feature_weight: float
    identity: float
    weight_decay: float
    label_smoothing: float
    average: float
    validate_every: int
    validate_subnets: int
    augment: Augment | None = None
    distil: bool = True
    conflict: Literal["add", "project"] = "add"
    precision: Literal["float32", "bfloat16"] = "float32"
    patience: int = 0
    backbone: PhaseSection | None = None
    start: str = ""

    @property
    def epochs(self) -> int:
        """Of all phases."""
        phases = (self.backbone, self.ensemble, self.settle)
        return sum(phase.epochs for phase in phases if phase is not None)


class StatisticsSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the statistics of batch norm are fitted.

    Many subnets matter more than many rows: each choice has to come up behind each other often,
    and what a few rows have of their own is nearly the same for all subnets. Anchors take it off.

    Attributes:
        subnets: Random subnets whose statistics are recorded.
        rows: Training rows that run through each.
        ridge: Strength of the regression, in observations.
        anchors: Of these subnets, how many are recorded with more rows, to tell how the few rows differ
            from all; 0 takes the few as they are.
        anchor_rows: Training rows that run through each of those.
    """

    subnets: int
    rows: int
    ridge: float
    anchors: int = 0
    anchor_rows: int = 2048

    @property
    def most_rows(self) -> int:
        """Training rows that are asked for."""
        return max(self.rows, self.anchor_rows if self.anchors else 0)


class AccuracySection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the accuracy tables are fitted.

    Attributes:
        subnets: Random subnets that are measured.
        rows: Validation rows that each answers at most, spread evenly over groups and classes.
            Frames of one recording are much alike: thousands more cost hours and tell little.
    """

    subnets: int
    rows: int = 4096


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole recipe.

    Attributes:
        name: Name of the model on the wire.
        version: Version of the bundle.
        title: One line for a person.
        limits: What the model must not be trusted with; goes on the card.
        data: Data and split.
        input: The frame.
        space: The search space.
        training: The ensemble training.
        statistics: The statistics of batch norm.
        accuracy: The accuracy tables.
        preprocessing: How raw samples become the input of the network, for the manifest and,
            unless the data is prepared, for training.
    """

    name: str
    version: str
    title: str
    limits: str
    data: DataSection
    input: InputSection
    space: SpaceSpec
    training: TrainingSection
    statistics: StatisticsSection
    accuracy: AccuracySection
    preprocessing: Preprocessing | None = None


def load_recipe(path: Path) -> Recipe:
    """Read a recipe.

    Raises:
        RecipeError: If it is missing, no TOML, or has a wrong key or value; the message names it.
    """
    content = read_toml(path, RecipeError)
    try:
        recipe = msgspec.convert(content, Recipe)
        SearchSpace(recipe.space)
        if recipe.preprocessing is not None:
            build_pipeline(recipe.preprocessing)
    except msgspec.ValidationError as error:
        raise RecipeError(f"recipe {path}: {error}{_suggestion(str(error))}") from error
    except SpaceError as error:
        raise RecipeError(f"recipe {path}: [space] {error}") from error
    except FeatureError as error:
        raise RecipeError(f"recipe {path}: [preprocessing] {error}") from error
    if not recipe.training.start:
        return recipe
    start = str((path.parent / recipe.training.start).resolve())
    return msgspec.structs.replace(recipe, training=msgspec.structs.replace(recipe.training, start=start))


def _suggestion(message: str) -> str:
    """What an unknown key was probably meant to be."""
    unknown = search(r"unknown field `(\w+)`", message)
    if unknown is None:
        return ""
    return f"; {nearest(unknown.group(1), sorted(_keys(Recipe)))}"


def _keys(section: type[msgspec.Struct]) -> set[str]:
    names = set()
    for field in msgspec.structs.fields(section):
        names.add(field.name)
        for kind in _structs(field.type):
            names |= _keys(kind)
    return names


def _structs(kind: object) -> Iterator[type[msgspec.Struct]]:
    """The structs that a field may hold."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        yield kind
    for member in get_args(kind):
        yield from _structs(member)
