"""``recipe.toml``: everything that decides how a bundle comes to be."""

from __future__ import annotations

import sys
from difflib import get_close_matches
from pathlib import Path
from re import search

import msgspec

from adaspring.errors import RecipeError, SpaceError
from adaspring.space import SearchSpace, SpaceSpec

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


class DataSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which data, whose, and which of it is held out.

    Attributes:
        file: Name of the ``.npz`` file inside the data folder.
        source: Where a person gets it.
        licence: Under what terms; printed where the data is missing, and on the card.
        attribution: What whoever publishes results must cite.
        validation_volunteers: Volunteers of the training split that are held out of
            training; every choice is made on them.
    """

    file: str
    source: str
    licence: str
    attribution: str
    validation_volunteers: tuple[int, ...]


class InputSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The frame, as `bundle.InputSpec` has it; its scale is measured on the training rows."""

    name: str
    description: str
    channels: tuple[str, ...]
    rate_hz: float | None = None


class AugmentSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far a training window may be bent; 0 leaves it as it is.

    Attributes:
        shift: Whether windows start anywhere in a recording, not only where they were cut.
        rotation_deg: Standard deviation of the angle by which the sensor is turned.
        amplitude: Standard deviation of the relative amplitude.
        noise: Standard deviation of added noise, relative to the scale of a channel.
    """

    shift: bool = False
    rotation_deg: float = 0.0
    amplitude: float = 0.0
    noise: float = 0.0


class PhaseSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One phase of the training: passes over the training rows, and the peak of the cosine."""

    epochs: int
    learning_rate: float


class TrainingSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The ensemble training (see `train`).

    Attributes:
        seed: Seed of everything random.
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
        augment: Augmentation of the training windows.
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
    augment: AugmentSection = AugmentSection()


class StatisticsSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the statistics of batch norm are fitted.

    Attributes:
        subnets: Random subnets whose statistics are recorded.
        rows: Training rows that run through each.
        ridge: Strength of the regression, in observations.
    """

    subnets: int
    rows: int
    ridge: float


class AccuracySection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the accuracy tables are fitted: on how many subnets."""

    subnets: int


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


def load_recipe(path: Path) -> Recipe:
    """Read a recipe.

    Raises:
        RecipeError: If it is missing, no TOML, or has a wrong key or value; the message names it.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"recipe {path} cannot be read: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"recipe {path} is no TOML: {error}") from error
    try:
        recipe = msgspec.convert(content, Recipe)
        SearchSpace(recipe.space)
    except msgspec.ValidationError as error:
        raise RecipeError(f"recipe {path}: {error}{_suggestion(str(error))}") from error
    except SpaceError as error:
        raise RecipeError(f"recipe {path}: [space] {error}") from error
    return recipe


def _suggestion(message: str) -> str:
    """What an unknown key was probably meant to be."""
    unknown = search(r"unknown field `(\w+)`", message)
    if unknown is None:
        return ""
    near = get_close_matches(unknown.group(1), sorted(_keys(Recipe)), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _keys(section: type[msgspec.Struct]) -> set[str]:
    nested = [field.type for field in msgspec.structs.fields(section)]
    return {field.name for field in msgspec.structs.fields(section)}.union(
        *(_keys(kind) for kind in nested if isinstance(kind, type) and issubclass(kind, msgspec.Struct))
    )
