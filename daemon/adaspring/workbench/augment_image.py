"""Augmentation of images: mirrored, moved, turned, recoloured, with a square blanked."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from adaspring.workbench.augments import ImageAugment


def bend_images(x: Tensor, how: ImageAugment, rng: np.random.Generator) -> Tensor:
    """Images bent at random.

    Args:
        x: Scaled images, shape ``(n, 3, height, width)``.
        how: How far.
        rng: Draws all that is random.
    """
    if how.flip:
        mirrored = torch.from_numpy(rng.random(len(x)) < 0.5)[:, None, None, None]  # noqa: PLR2004  # every other
        x = torch.where(mirrored, x.flip(-1), x)
    if how.shift or how.zoom or how.rotation_deg:
        x = _moved(x, how, rng)
    if how.colour:
        gain, offset = _normal(rng, (2, *x.shape[:2], 1, 1), how.colour)
        x = x * gain.exp() + offset
    if how.erase:
        x = _erased(x, how.erase, rng)
    return x


def _moved(x: Tensor, how: ImageAugment, rng: np.random.Generator) -> Tensor:
    """Shifted by whole pixels where that is all, else resampled; what lies outside mirrors the inside."""
    count, _, height, width = x.shape
    angle = np.deg2rad(how.rotation_deg) * rng.standard_normal(count)
    zoom = np.exp(-how.zoom * rng.standard_normal(count))
    aspect = height / width
    matrix = np.empty((count, 2, 3), dtype=np.float32)
    matrix[:, 0, 0] = matrix[:, 1, 1] = zoom * np.cos(angle)
    matrix[:, 0, 1], matrix[:, 1, 0] = -zoom * np.sin(angle) * aspect, zoom * np.sin(angle) / aspect
    for axis, extent in ((0, width), (1, height)):
        most = round(how.shift * extent)
        matrix[:, axis, 2] = 2.0 * rng.integers(-most, most + 1, count) / extent
    grid = functional.affine_grid(torch.from_numpy(matrix), list(x.shape), align_corners=False)
    return functional.grid_sample(x, grid, padding_mode="reflection", align_corners=False)


def _erased(x: Tensor, share: float, rng: np.random.Generator) -> Tensor:
    """A square of the mean colour anywhere (DeVries and Taylor, Cutout, 2017)."""
    x = x.clone()
    most = round(share * min(x.shape[-2:]))
    for image in x:
        side = int(rng.integers(0, most + 1))
        top, left = (int(rng.integers(0, extent - side + 1)) for extent in image.shape[-2:])
        image[:, top : top + side, left : left + side] = 0.0
    return x


def _normal(rng: np.random.Generator, shape: tuple[int, ...], deviation: float) -> Tensor:
    return torch.from_numpy(rng.standard_normal(shape, dtype=np.float32) * np.float32(deviation))
