"""Training batches: rows drawn, bent, prepared as serving prepares them, and scaled."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from adaspring.workbench.augment_image import bend_images
from adaspring.workbench.augment_sound import bend_spectrograms, bend_waves
from adaspring.workbench.augments import Augment, ImageAugment, InertialAugment, SoundAugment
from adaspring.workbench.data import Rows, prepared

#: Channels come in groups of three: x, y, z of one sensor.
AXES = 3


@dataclass(frozen=True, slots=True)
class Batches:
    """Draws training batches.

    Attributes:
        rows: Training rows, raw or prepared.
        classes: Number of classes.
        following: Row of the window that starts half a window later, or of the window itself
            where none does, shape ``(n,)``.
        scale: Factor of each channel, shape ``(channels,)``.
        how: How far a row may be bent; None leaves rows as they are.
    """

    rows: Rows
    classes: int
    following: npt.NDArray[np.intp]
    scale: Tensor
    how: Augment | None

    @staticmethod
    def of(rows: Rows, classes: int, scale: npt.NDArray[np.float32], how: Augment | None) -> Batches:
        """Take rows and how far they may be bent."""
        return Batches(rows, classes, following_rows(rows), torch.from_numpy(scale), how)

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.rows)

    def batch(self, rows: npt.NDArray[np.intp], rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Some rows, bent at random.

        Returns:
            Scaled inputs and the share of each class in them, shape ``(n, classes)``.
        """
        targets = functional.one_hot(torch.from_numpy(self.rows.y[rows]), self.classes).float()
        raw = self.rows.x[rows]
        if isinstance(self.how, InertialAugment) and self.rows.pipeline is None:
            x = self._inertial(raw, rows, rng, self.how)
        else:
            x = self._prepared(raw, rng)
        if self.how is not None and self.how.mixup:
            x, targets = _mixed(x, targets, self.how.mixup, rng)
        return x, targets

    def unmixed(self) -> Batches:
        """The same without mixing rows."""
        return self if self.how is None else replace(self, how=msgspec.structs.replace(self.how, mixup=0.0))

    def scaled(self, x: npt.NDArray[np.float32]) -> Tensor:
        """Inputs times the scale of their channels."""
        return torch.from_numpy(x) * self.scale.reshape(-1, *(1,) * (x.ndim - 2))

    def _prepared(self, raw: npt.NDArray[Any], rng: np.random.Generator) -> Tensor:
        if isinstance(self.how, SoundAugment) and self.rows.pipeline is not None:
            raw = bend_waves(raw, self.rows.pipeline.raw.rate_hz or 1.0, self.how, rng)
        x = self.scaled(prepared(raw, self.rows.pipeline))
        if isinstance(self.how, SoundAugment):
            return bend_spectrograms(x, self.how, rng)
        if isinstance(self.how, ImageAugment):
            return bend_images(x, self.how, rng)
        return x

    def _inertial(
        self, raw: npt.NDArray[Any], rows: npt.NDArray[np.intp], rng: np.random.Generator, how: InertialAugment
    ) -> Tensor:
        x = self.scaled(raw)
        if how.shift:
            x = self._shifted(x, rows, rng)
        if how.rotation_deg:
            x = self._rotated(x, how, rng)
        if how.amplitude:
            x = x * _normal(rng, (len(rows), 1, 1), how.amplitude).exp()
        if how.noise:
            x = x + _normal(rng, tuple(x.shape), how.noise)
        return x

    def _shifted(self, x: Tensor, rows: npt.NDArray[np.intp], rng: np.random.Generator) -> Tensor:
        # Two neighbouring windows overlap by half, so together they hold every window in between.
        length = x.shape[-1]
        half = length // 2
        later = self.following[rows]
        both = torch.cat([x, self.scaled(self.rows.x[later])[..., half:]], dim=-1)
        first = rng.integers(0, half + 1, size=len(rows)) * (later != rows)
        positions = torch.from_numpy(first[:, None] + np.arange(length))
        return both.gather(2, positions[:, None, :].expand(-1, both.shape[1], -1))

    def _rotated(self, x: Tensor, how: InertialAugment, rng: np.random.Generator) -> Tensor:
        # Turning mixes the axes of a sensor in raw units, so the scale is taken off and put back.
        turns = _rotations(_normal(rng, (len(x), AXES), np.deg2rad(how.rotation_deg)))
        raw = (x / self.scale[:, None]).reshape(len(x), -1, AXES, x.shape[-1])
        return torch.einsum("nij,nsjt->nsit", turns, raw).flatten(1, 2) * self.scale[:, None]


def following_rows(rows: Rows) -> npt.NDArray[np.intp]:
    """For each window the one of the same class that starts half a window later in its recording, else itself."""
    half = rows.x.shape[-1] // 2
    groups = np.unique(rows.group, return_inverse=True)[1]
    keys = np.stack([groups, rows.recording, rows.y, rows.start], axis=1).tolist()
    row_of = {tuple(key): row for row, key in enumerate(keys)}
    return np.array([row_of.get((*key[:3], key[3] + half), row) for row, key in enumerate(keys)], dtype=np.intp)


def _mixed(x: Tensor, targets: Tensor, concentration: float, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Each row mixed with another, and its label with that of the other.

    Source: Zhang et al., mixup: Beyond Empirical Risk Minimization, ICLR 2018.
    """
    share = torch.from_numpy(rng.beta(concentration, concentration, len(x)).astype(np.float32))
    other = torch.from_numpy(rng.permutation(len(x)))
    along = share.reshape(-1, *(1,) * (x.ndim - 1))
    mixed = along * x + (1.0 - along) * x[other]
    return mixed, share[:, None] * targets + (1.0 - share[:, None]) * targets[other]


def _rotations(vectors: Tensor) -> Tensor:
    """Rotation matrices of rotation vectors (radians), shapes ``(n, 3)`` and ``(n, 3, 3)``."""
    skew = torch.zeros(len(vectors), AXES, AXES)
    x, y, z = vectors.unbind(dim=1)
    skew[:, 0, 1], skew[:, 0, 2], skew[:, 1, 2] = -z, y, -x
    matrices: Tensor = torch.linalg.matrix_exp(skew - skew.transpose(1, 2))
    return matrices


def _normal(rng: np.random.Generator, shape: tuple[int, ...], deviation: float) -> Tensor:
    return torch.from_numpy(rng.standard_normal(shape, dtype=np.float32) * np.float32(deviation))
