"""``manifest.json``: what a bundle says of itself."""

from __future__ import annotations

import msgspec

from adaspring.features import Preprocessing
from adaspring.space import SpaceSpec

#: Format that this release writes and reads.
FORMAT = 1


class InputSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The tensor that a frame carries.

    Attributes:
        name: Name of the tensor on the wire.
        shape: Shape of one sample, without the batch axis.
        rate_hz: Samples a second along the last axis; None where there is no time axis.
        channels: What each channel is, with its unit.
        scale: Factor for each channel, folded into the first convolution when assembled.
        description: One line for a person.
    """

    name: str
    shape: tuple[int, ...]
    rate_hz: float | None
    channels: tuple[str, ...]
    scale: tuple[float, ...]
    description: str


class OutputSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The tensor that a reply carries: one logit per label."""

    name: str
    labels: tuple[str, ...]


class TrainingFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the weights came to be.

    Attributes:
        command: The command that trained them.
        seed: Seed of everything random in it.
        duration_s: Wall-clock time of the training proper, interruptions not counted, in seconds.
        epochs: Passes over the training rows.
        data: The data, in one line.
        torch: Version of PyTorch.
    """

    command: str
    seed: int
    duration_s: float
    epochs: int
    data: str
    torch: str


class Accuracy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Share of right answers on the test split, in percent, as the daemon assembles subnets."""

    full_percent: float
    median_percent: float
    smallest_percent: float
    test_rows: int


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything about a bundle but its arrays.

    Attributes:
        format: Version of the bundle format.
        name: Name of the model on the wire.
        version: Version of the bundle.
        title: One line for a person.
        space: The search space.
        input: What a frame carries.
        output: What a reply carries.
        training: How it was trained.
        accuracy: What it reached on the test split.
        licence: Licence of weights and data.
        files: SHA-256 of every other file, by name.
        preprocessing: How raw samples of a sensor become the input; None where frames carry the
            input itself and nothing else is known.
    """

    format: int
    name: str
    version: str
    title: str
    space: SpaceSpec
    input: InputSpec
    output: OutputSpec
    training: TrainingFacts
    accuracy: Accuracy
    licence: str
    files: dict[str, str]
    preprocessing: Preprocessing | None = None
