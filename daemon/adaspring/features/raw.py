"""What a sensor gives: type and shape of one raw window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from adaspring.errors import FeatureError

Features = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class RawSpec:
    """One raw window.

    Attributes:
        dtype: Element type.
        shape: Shape of one window; the first axis is time where there is one.
        channels: What each channel is, with its unit.
        rate_hz: Samples a second; None where there is no time axis.
    """

    dtype: Literal["uint8", "int16", "float32"]
    shape: tuple[int, ...]
    channels: tuple[str, ...]
    rate_hz: float | None

    def check_window(self, raw: npt.NDArray[Any]) -> None:
        """Refuse what is not one raw window.

        Raises:
            FeatureError: With what was given and what it must be.
        """
        if raw.shape != self.shape:
            raise FeatureError(f"a raw window has shape {list(self.shape)}; this one has {list(raw.shape)}")
        self.check_dtype(raw)

    def check_samples(self, raw: npt.NDArray[Any]) -> None:
        """Refuse what is not any number of samples in a row.

        Raises:
            FeatureError: With what was given and what it must be.
        """
        if raw.ndim != len(self.shape) or raw.shape[1:] != self.shape[1:]:
            expected = ", ".join(["n", *map(str, self.shape[1:])])
            raise FeatureError(f"raw samples have shape [{expected}]; these have {list(raw.shape)}")
        self.check_dtype(raw)

    def check_dtype(self, raw: npt.NDArray[Any]) -> None:
        """Refuse another element type: 16-bit samples taken for floats would be 32,768 times too loud.

        Raises:
            FeatureError: With what was given and what it must be.
        """
        if raw.dtype != np.dtype(self.dtype):
            raise FeatureError(f"raw samples are {self.dtype}; these are {raw.dtype}")
