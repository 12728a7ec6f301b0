"""A preprocessing as declared, and what is built of it."""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

import numpy.typing as npt

from adaspring.features.image import ImagePipeline, ImageSpec
from adaspring.features.inertial import InertialPipeline, InertialSpec
from adaspring.features.logmel import LogMelPipeline, LogMelSpec
from adaspring.features.raw import Features, RawSpec

#: What a manifest or recipe declares; its key ``kind`` says which.
Preprocessing: TypeAlias = LogMelSpec | InertialSpec | ImageSpec


class Stream(Protocol):
    """One sensor whose samples come in pieces; keeps what the next piece needs."""

    def push(self, raw: npt.NDArray[Any]) -> Features:
        """Take samples and put out what they complete.

        Args:
            raw: Any number of samples, shape ``(n, *pipeline.raw.shape[1:])``.

        Returns:
            New columns of the network input, shape ``(*pipeline.shape[:-1], m)``; m may be 0.

        Raises:
            FeatureError: If type or shape are not those of the sensor.
        """
        ...


class Pipeline(Protocol):
    """Raw samples -> network input."""

    @property
    def raw(self) -> RawSpec:
        """What it takes."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of what it puts out: one input of the network."""
        ...

    @property
    def hop(self) -> int | None:
        """Samples from one column of a stream to the next; None where there is no stream."""
        ...

    def window(self, raw: npt.NDArray[Any]) -> Features:
        """The network input of one raw window; keeps nothing.

        Raises:
            FeatureError: If type or shape are not those of a raw window.
        """
        ...

    def stream(self) -> Stream:
        """A stream that has seen nothing yet.

        Raises:
            FeatureError: If its windows are no stretches of a stream, as images are not.
        """
        ...


def build_pipeline(preprocessing: Preprocessing) -> Pipeline:
    """What a manifest declares, ready to run.

    Raises:
        FeatureError: If what is declared cannot be: a window shorter than its step, a cutoff
            above half the sample rate; the message names the key.
    """
    if isinstance(preprocessing, LogMelSpec):
        return LogMelPipeline(preprocessing)
    if isinstance(preprocessing, InertialSpec):
        return InertialPipeline(preprocessing)
    return ImagePipeline(preprocessing)
