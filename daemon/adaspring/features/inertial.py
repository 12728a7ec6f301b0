"""Inertial sensors: noise filtered off, acceleration split into gravity and what the body does."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from adaspring.errors import FeatureError
from adaspring.features.filters import Array, BlockFilter, butterworth_low_pass
from adaspring.features.raw import Features, RawSpec

AXES = 3

#: What one raw sample holds.
CHANNELS = (
    *(f"acceleration {axis} (g)" for axis in "xyz"),
    *(f"angular velocity {axis} (rad/s)" for axis in "xyz"),
)


class InertialSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="inertial"):
    """Acceleration and angular velocity -> body acceleration, angular velocity, total acceleration.

    A median over three samples takes off spikes, a causal Butterworth low-pass the noise;
    a second low-pass of the total acceleration is gravity, and what is left of it the body's own.

    Attributes:
        rate_hz: Samples a second.
        samples: Samples of one raw window.
        noise_cutoff_hz: Cutoff of the first low-pass.
        gravity_cutoff_hz: Cutoff of the second.
        order: Order of both.
    """

    rate_hz: float
    samples: int
    noise_cutoff_hz: float = 20.0
    gravity_cutoff_hz: float = 0.3
    order: int = 3


class InertialPipeline:
    """Six raw channels -> nine, causally: output i needs no sample behind sample i.

    The median looks one sample back on either side of the one that it replaces, so all
    outputs are late by one sample.
    """

    def __init__(self, spec: InertialSpec) -> None:
        """Design both filters.

        Raises:
            FeatureError: If what is declared cannot be.
        """
        if spec.samples < 1:
            raise FeatureError(f"inertial: samples must be positive; it is {spec.samples}")
        self._noise = BlockFilter.of(butterworth_low_pass(spec.order, spec.noise_cutoff_hz, spec.rate_hz))
        self._gravity = BlockFilter.of(butterworth_low_pass(spec.order, spec.gravity_cutoff_hz, spec.rate_hz))
        self.raw = RawSpec("float32", (spec.samples, len(CHANNELS)), CHANNELS, spec.rate_hz)
        self.shape: tuple[int, ...] = (len(CHANNELS) + AXES, spec.samples)
        self.hop: int | None = 1

    def window(self, raw: npt.NDArray[Any]) -> Features:
        """The nine channels of one window, shape ``(9, samples)``.

        The filters start as if the first sample had been there for ever. What gravity was
        takes the second low-pass about two seconds to learn, so a stream answers better.
        """
        self.raw.check_window(raw)
        return self.stream().push(raw)

    def stream(self) -> InertialStream:
        """A stream whose filters rest at its first sample."""
        return InertialStream(self._noise, self._gravity, self.raw)


class InertialStream:
    """Samples of one sensor that come in pieces; keeps two samples and the state of the filters."""

    def __init__(self, noise: BlockFilter, gravity: BlockFilter, raw: RawSpec) -> None:
        """Start with no sample."""
        self._noise, self._gravity, self._raw = noise, gravity, raw
        self._last: Array | None = None
        self._noise_state = self._gravity_state = np.empty((0, 0))

    def push(self, raw: npt.NDArray[Any]) -> Features:
        """Take samples and put out as many columns.

        Raises:
            FeatureError: If type or shape are not those of the sensor, or a sample is not finite:
                it would stay in the state of the filters for ever.
        """
        self._raw.check_samples(raw)
        bad = np.flatnonzero(~np.isfinite(raw).all(axis=1))
        if len(bad):
            raise FeatureError(f"raw sample {bad[0]} is not finite")
        samples = raw.astype(np.float64)
        if not len(samples):
            return np.empty((len(CHANNELS) + AXES, 0), dtype=np.float32)
        if self._last is None:
            self._last = np.repeat(samples[:1], 2, axis=0)
            self._noise_state = self._noise.at_rest(samples[0])
            self._gravity_state = self._gravity.at_rest(samples[0, :AXES])
        extended = np.concatenate([self._last, samples])
        self._last = extended[-2:]
        early, middle, late = extended[:-2], extended[1:-1], extended[2:]
        median = np.maximum(np.minimum(early, middle), np.minimum(np.maximum(early, middle), late))
        smooth, self._noise_state = self._noise.run(median, self._noise_state)
        total = smooth[:, :AXES]
        gravity, self._gravity_state = self._gravity.run(total, self._gravity_state)
        columns = np.concatenate([total - gravity, smooth[:, AXES:], total], axis=1)
        return np.ascontiguousarray(columns.T, dtype=np.float32)
