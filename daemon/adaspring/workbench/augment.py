"""Augmentation of inertial windows: what the wearer, the belt or the clock could have changed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from adaspring.workbench.data import Rows
from adaspring.workbench.recipe import AugmentSection

#: Channels come in groups of three: x, y, z of one sensor.
AXES = 3


@dataclass(frozen=True, slots=True)
class Augmenter:
    """Draws training batches.

    Attributes:
        x: Scaled windows, shape ``(n, channels, length)``.
        following: Row of the window that starts half a window later, or of the window itself
            where none does, shape ``(n,)``.
        scale: Factor of each channel, shape ``(channels,)``.
        how: How far a window may be bent.
    """

    x: Tensor
    following: npt.NDArray[np.intp]
    scale: Tensor
    how: AugmentSection

    def batch(self, rows: npt.NDArray[np.intp], rng: np.random.Generator) -> Tensor:
        """Windows of some rows, bent at random."""
        x = self._shifted(rows, rng) if self.how.shift else self.x[torch.from_numpy(rows)]
        if self.how.rotation_deg:
            x = self._rotated(x, rng)
        if self.how.amplitude:
            x = x * _normal(rng, (len(rows), 1, 1), self.how.amplitude).exp()
        if self.how.noise:
            x = x + _normal(rng, tuple(x.shape), self.how.noise)
        return x

    def _shifted(self, rows: npt.NDArray[np.intp], rng: np.random.Generator) -> Tensor:
        # Two neighbouring windows overlap by half, so together they hold every window in between.
        length = self.x.shape[-1]
        half = length // 2
        later = self.following[rows]
        both = torch.cat([self.x[torch.from_numpy(rows)], self.x[torch.from_numpy(later)][..., half:]], dim=-1)
        first = rng.integers(0, half + 1, size=len(rows)) * (later != rows)
        positions = torch.from_numpy(first[:, None] + np.arange(length))
        return both.gather(2, positions[:, None, :].expand(-1, both.shape[1], -1))

    def _rotated(self, x: Tensor, rng: np.random.Generator) -> Tensor:
        # Turning mixes the axes of a sensor in raw units, so the scale is taken off and put back.
        turns = _rotations(_normal(rng, (len(x), AXES), np.deg2rad(self.how.rotation_deg)))
        raw = (x / self.scale[:, None]).reshape(len(x), -1, AXES, x.shape[-1])
        return torch.einsum("nij,nsjt->nsit", turns, raw).flatten(1, 2) * self.scale[:, None]


def following_rows(rows: Rows) -> npt.NDArray[np.intp]:
    """For each window the one of the same class that starts half a window later in its recording, else itself."""
    half = rows.x.shape[-1] // 2
    keys = np.stack([rows.volunteer, rows.recording, rows.y, rows.start], axis=1).tolist()
    row_of = {tuple(key): row for row, key in enumerate(keys)}
    return np.array([row_of.get((*key[:3], key[3] + half), row) for row, key in enumerate(keys)], dtype=np.intp)


def _rotations(vectors: Tensor) -> Tensor:
    """Rotation matrices of rotation vectors (radians), shapes ``(n, 3)`` and ``(n, 3, 3)``."""
    skew = torch.zeros(len(vectors), AXES, AXES)
    x, y, z = vectors.unbind(dim=1)
    skew[:, 0, 1], skew[:, 0, 2], skew[:, 1, 2] = -z, y, -x
    matrices: Tensor = torch.linalg.matrix_exp(skew - skew.transpose(1, 2))
    return matrices


def _normal(rng: np.random.Generator, shape: tuple[int, ...], deviation: float) -> Tensor:
    return torch.from_numpy(rng.standard_normal(shape, dtype=np.float32) * np.float32(deviation))
