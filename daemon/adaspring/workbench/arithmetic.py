"""Where and in what precision training computes."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from adaspring.workbench.supernet import Weights

#: Axes of a batch of images.
IMAGE_AXES = 4


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """A device and a precision.

    Attributes:
        device: Where tensors live.
        precision: Of the convolutions; weights and the rest stay in float32.
        note: Why this is not what was asked for; empty where it is.
    """

    device: torch.device
    precision: Literal["float32", "bfloat16"]
    note: str = ""

    @staticmethod
    def choose(wanted: Literal["float32", "bfloat16"]) -> Arithmetic:
        """A GPU where there is one, and bfloat16 where the processor computes in it."""
        cuda = torch.cuda.is_available()
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if cuda else torch.device("cpu")
        able = torch.cuda.is_bf16_supported() if cuda else torch.ops.mkldnn._is_mkldnn_bf16_supported()  # noqa: SLF001  # the only way to ask
        if wanted == "bfloat16" and not able:
            return Arithmetic(device, "float32", "this processor has no bfloat16: training in float32")
        return Arithmetic(device, wanted)

    def autocast(self) -> AbstractContextManager[object]:
        """Within it, convolutions run in the chosen precision."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.precision == "bfloat16")

    def place(self, x: Tensor) -> Tensor:
        """A tensor on the device; images with their channels last, as convolutions in bfloat16 want them."""
        if x.ndim == IMAGE_AXES and x.is_floating_point() and self.precision == "bfloat16":
            return x.to(self.device, memory_format=torch.channels_last)
        return x.to(self.device)

    def place_all(self, weights: Weights) -> Weights:
        """Weights on the device."""
        return {name: self.place(tensor) for name, tensor in weights.items()}
