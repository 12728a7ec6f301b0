"""Colour images: resized, centred, channels first."""

from __future__ import annotations

from functools import lru_cache
from math import ceil, floor
from typing import Any, NoReturn

import msgspec
import numpy as np
import numpy.typing as npt

from adaspring.errors import FeatureError
from adaspring.features.raw import Features, RawSpec


class ImageSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="image"):
    """Pixels minus the mean of each channel: what pads a convolution is then the mean colour.

    Attributes:
        height: Rows of the network input.
        width: Columns of it.
        mean: Mean of red, green and blue over the training images, 0 to 255.
    """

    height: int
    width: int
    mean: tuple[float, ...]


class ImagePipeline:
    """An image of bytes, height x width x 3, of any size -> network input."""

    def __init__(self, spec: ImageSpec) -> None:
        """Take the mean.

        Raises:
            FeatureError: If the size is not positive or the mean not that of three channels.
        """
        if spec.height < 1 or spec.width < 1 or len(spec.mean) != 3:  # noqa: PLR2004  # red, green, blue
            raise FeatureError(
                f"image: height and width must be positive and mean must name red, green and blue; they are "
                f"{spec.height}, {spec.width} and {list(spec.mean)}"
            )
        self._mean = np.array(spec.mean, dtype=np.float32)[:, None, None]
        self.raw = RawSpec("uint8", (spec.height, spec.width, 3), ("red", "green", "blue"), None)
        self.shape: tuple[int, ...] = (3, spec.height, spec.width)
        self.hop: int | None = None

    def window(self, raw: npt.NDArray[Any]) -> Features:
        """The network input of one image; one of another size is resized.

        Args:
            raw: Shape ``(height, width, 3)``, uint8.

        Raises:
            FeatureError: If it is no such array.
        """
        self.raw.check_dtype(raw)
        if raw.ndim != len(self.raw.shape) or raw.shape[2] != 3 or not raw.size:  # noqa: PLR2004
            raise FeatureError(f"an image has shape [height, width, 3]; this one has {list(raw.shape)}")
        planes = resized(raw, self.shape[1:])
        return np.ascontiguousarray(planes - self._mean, dtype=np.float32)

    def stream(self) -> NoReturn:
        """There is none: an image is a window by itself."""
        raise FeatureError("an image is a whole window: there is no stream of samples; send images one by one")


def resized(image: npt.NDArray[np.uint8], size: tuple[int, ...]) -> Features:
    """An image as float32 planes of another size, by triangle filters as wide as a source pixel or a target pixel.

    Args:
        image: Shape ``(height, width, 3)``.
        size: Height and width to have.

    Returns:
        Shape ``(3, *size)``, 0 to 255.
    """
    planes = image.transpose(2, 0, 1).astype(np.float32)
    if image.shape[:2] == size:
        return planes
    rows, columns = (_weights(source, target) for source, target in zip(image.shape[:2], size, strict=True))
    return (rows @ planes @ columns.T).astype(np.float32, copy=False)


@lru_cache(maxsize=8)
def _weights(source: int, target: int) -> Features:
    """Share of each source pixel in each target pixel, shape ``(target, source)``."""
    ratio = source / target
    support = max(ratio, 1.0)
    weights = np.zeros((target, source), dtype=np.float32)
    for row in range(target):
        centre = (row + 0.5) * ratio
        first, last = max(0, floor(centre - support)), min(source, ceil(centre + support))
        distance = np.abs(np.arange(first, last) + 0.5 - centre) / support
        weights[row, first:last] = np.maximum(0.0, 1.0 - distance)
    shares: Features = weights / weights.sum(axis=1, keepdims=True)
    return shares
