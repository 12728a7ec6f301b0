"""Augmentation of sound: raw samples before the features, and spectrograms behind them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from torch import Tensor

from adaspring.workbench.augments import SoundAugment

#: Level of the faintest noise that is added, in decibel below full scale.
FAINTEST_DB = -90.0

Waves = npt.NDArray[np.int16]


def bend_waves(waves: Waves, rate_hz: float, how: SoundAugment, rng: np.random.Generator) -> Waves:
    """Clips shifted in time, made louder or fainter, with noise added; shape ``(n, samples)``."""
    count, samples = waves.shape
    bent = waves.astype(np.float32)
    if how.shift_s:
        most = min(samples // 2, round(how.shift_s * rate_hz))
        for row, shift in enumerate(rng.integers(-most, most + 1, count)):
            bent[row] = np.roll(bent[row], shift)
    if how.gain_db:
        bent *= 10.0 ** (rng.normal(0.0, how.gain_db, (count, 1)).astype(np.float32) / 20.0)
    if how.noise_db:
        level = 32768.0 * 10.0 ** ((FAINTEST_DB + rng.uniform(0.0, how.noise_db, (count, 1))) / 20.0)
        bent += level.astype(np.float32) * rng.standard_normal(bent.shape, dtype=np.float32)
    return np.clip(np.rint(bent), -32768, 32767).astype(np.int16)


def bend_spectrograms(x: Tensor, how: SoundAugment, rng: np.random.Generator) -> Tensor:
    """Spectrograms with a stretch of bands and one of frames blanked.

    After Park and others, SpecAugment, Interspeech 2019.

    Args:
        x: Shape ``(n, ..., bands, frames)``.
        how: How many at most.
        rng: Draws where.
    """
    x = x.clone()
    for row in x:
        for axis, most in ((-2, how.bands), (-1, how.frames)):
            extent = int(rng.integers(0, most + 1))
            first = int(rng.integers(0, row.shape[axis] - extent + 1))
            row.narrow(axis, first, extent).zero_()
    return x
