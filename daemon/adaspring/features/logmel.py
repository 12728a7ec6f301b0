"""Log-mel spectrograms of 16-bit sound."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from adaspring.errors import FeatureError
from adaspring.features.raw import Features, RawSpec

#: Full scale of a 16-bit sample.
FULL_SCALE = 32768.0


class LogMelSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="log_mel"):
    """A log-mel spectrogram: ``log(power / floor + 1)`` of each mel band and frame.

    Silence comes out as exactly 0, so the zero padding of a convolution, and of a clip
    that is too short, means silence.

    Attributes:
        rate_hz: Samples a second.
        samples: Samples of one raw window.
        frame: Samples of one frame, under a Hann window.
        hop: Samples from one frame to the next.
        bands: Mel bands.
        low_hz: Lower edge of the lowest band.
        high_hz: Upper edge of the highest band.
        floor: Mel power, of samples scaled to [-1, 1], that counts as silence.
        layout: ``"sequence"`` for a 1-D network, whose channels are the bands, or
            ``"image"`` for a 2-D one, which has one channel of bands by frames.
    """

    rate_hz: float
    samples: int
    frame: int
    hop: int
    bands: int
    low_hz: float
    high_hz: float
    floor: float = 1e-6
    layout: Literal["sequence", "image"] = "sequence"


class LogMelPipeline:
    """16-bit samples -> log-mel spectrogram; frame i covers samples from ``i * hop`` on."""

    def __init__(self, spec: LogMelSpec) -> None:
        """Prepare window and filter bank.

        Raises:
            FeatureError: If what is declared cannot be.
        """
        _check(spec)
        self._spec = spec
        self._hann = np.hanning(spec.frame + 1)[:-1].astype(np.float32) / np.float32(FULL_SCALE)
        # The floor is divided out here once, instead of in every frame.
        self._filters = (mel_filters(spec) / spec.floor).astype(np.float32)
        frames = 1 + (spec.samples - spec.frame) // spec.hop
        lead = (1,) if spec.layout == "image" else ()
        self.raw = RawSpec("int16", (spec.samples,), ("sound pressure (16-bit samples)",), spec.rate_hz)
        self.shape: tuple[int, ...] = (*lead, spec.bands, frames)
        self.hop: int | None = spec.hop

    def window(self, raw: npt.NDArray[Any]) -> Features:
        """The spectrogram of one window, shape ``(bands, frames)`` or ``(1, bands, frames)``."""
        self.raw.check_window(raw)
        return self._frames(raw)

    def stream(self) -> LogMelStream:
        """A stream whose first frame begins with its first sample."""
        return LogMelStream(self)

    def _frames(self, samples: npt.NDArray[np.int16]) -> Features:
        """All whole frames of some samples."""
        spec = self._spec
        if len(samples) < spec.frame:
            return np.empty((*self.shape[:-1], 0), dtype=np.float32)
        frames = np.lib.stride_tricks.sliding_window_view(samples, spec.frame)[:: spec.hop]
        spectrum = np.fft.rfft(frames * self._hann)
        power = np.square(spectrum.real) + np.square(spectrum.imag)
        mel = np.log1p(power.astype(np.float32) @ self._filters)
        return np.ascontiguousarray(mel.T).reshape(*self.shape[:-1], -1)


class LogMelStream:
    """Samples that come in pieces; keeps those that the next frame still needs."""

    def __init__(self, pipeline: LogMelPipeline) -> None:
        """Start with no sample."""
        self._pipeline = pipeline
        self._kept = np.empty(0, dtype=np.int16)

    def push(self, raw: npt.NDArray[Any]) -> Features:
        """Take samples and put out the frames that they complete."""
        self._pipeline.raw.check_samples(raw)
        samples = np.concatenate([self._kept, raw])
        columns = self._pipeline._frames(samples)  # noqa: SLF001  # the two halves of one class
        self._kept = samples[columns.shape[-1] * self._pipeline._spec.hop :]  # noqa: SLF001
        return columns


def mel_filters(spec: LogMelSpec) -> npt.NDArray[np.float64]:
    """Triangular filters on the mel scale, shape ``(frame // 2 + 1, bands)``.

    Edges are equidistant on the scale of O'Shaughnessy, 2595 log10(1 + f / 700); a filter
    sums power to that of a sine at its centre, whatever its width.
    """
    lowest, highest = (2595.0 * np.log10(1.0 + edge / 700.0) for edge in (spec.low_hz, spec.high_hz))
    edges = 700.0 * (10.0 ** (np.linspace(lowest, highest, spec.bands + 2) / 2595.0) - 1.0)
    bins = np.arange(spec.frame // 2 + 1)[:, None] * spec.rate_hz / spec.frame
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    # A sine of amplitude 1 has power (frame / 4)^2 in its bin under a Hann window.
    filters: npt.NDArray[np.float64] = np.maximum(0.0, np.minimum(rising, falling)) / (spec.frame / 4.0) ** 2
    return filters


def _check(spec: LogMelSpec) -> None:
    if not 0 < spec.hop <= spec.frame <= spec.samples:
        raise FeatureError(
            f"log_mel: 0 < hop <= frame <= samples must hold; they are {spec.hop}, {spec.frame} and {spec.samples}"
        )
    if not 0 <= spec.low_hz < spec.high_hz <= spec.rate_hz / 2:
        raise FeatureError(
            f"log_mel: 0 <= low_hz < high_hz <= rate_hz / 2 must hold; "
            f"they are {spec.low_hz:g}, {spec.high_hz:g} and {spec.rate_hz / 2:g}"
        )
    if spec.bands < 1 or spec.floor <= 0:
        raise FeatureError(f"log_mel: bands and floor must be positive; they are {spec.bands} and {spec.floor:g}")
    empty = np.flatnonzero(mel_filters(spec).sum(axis=0) == 0)
    if len(empty):
        raise FeatureError(
            f"log_mel: band {empty[0]} of {spec.bands} lies between two bins of the transform: "
            f"fewer bands, or a longer frame than {spec.frame}"
        )
