"""One of the models that are served: what it takes, what answers for it, and what happened to its requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from adaspring.engine.base import Active
from adaspring.errors import ConfigError
from adaspring.features import Pipeline
from adaspring.serve.batching import Batching
from adaspring.serve.measurements import Measurements
from adaspring.serve.protocol import ModelSignature


class Lane:
    """A model in the data plane; lanes share its socket, its queue and its thread.

    Attributes:
        model: What requests are held against.
        active: The reference that a swap assigns.
        pipeline: Makes inputs of raw samples; None where none are taken.
        measurements: Counters and times of its requests, written by the data thread.
        batching: How many of its requests to compute at once; replaced by another thread by one assignment.
    """

    def __init__(self, model: ModelSignature, active: Active, pipeline: Pipeline | None = None) -> None:
        """Describe a model.

        Args:
            model: What requests are held against.
            active: The reference that a swap assigns.
            pipeline: Makes inputs of raw samples, where `model` takes such.

        Raises:
            ConfigError: If one of model and pipeline takes raw samples and the other does not.
        """
        if (model.raw is None) != (pipeline is None):
            raise ConfigError("a model takes raw samples if, and only if, there is a pipeline that preprocesses them")
        self.model = model
        self.active = active
        self.pipeline = pipeline
        self.measurements = Measurements()
        self.batching = Batching({})
        self._crowd = 0
        self._extra: dict[str, Any] = {}

    @property
    def extra(self) -> dict[str, Any]:
        """What META adds for clients; assign a new one to change it, from any thread."""
        return self._extra

    @extra.setter
    def extra(self, extra: dict[str, Any]) -> None:
        # What cannot be encoded must fail here and not in the data thread.
        msgspec.json.encode(extra)
        self._extra = extra

    def batch_by(self, curve: Mapping[int, float]) -> None:
        """Compute requests together where that pays; may be called from any thread.

        Args:
            curve: Measured time of a batch by its size, over that of one frame; an empty
                one, as at the start, computes them one by one.
        """
        self.batching = Batching(curve)

    def crowded(self, requests: int) -> None:
        """Note how many requests might be computed together now."""
        self._crowd = max(self._crowd, requests)

    def crowd(self) -> int:
        """The most that might have been since the last call; zero where none waited for another."""
        crowd, self._crowd = self._crowd, 0
        return crowd
