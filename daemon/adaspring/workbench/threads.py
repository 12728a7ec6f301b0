"""How many cores training and evaluation use."""

from __future__ import annotations

import torch


def use_threads(count: int) -> None:
    """Let torch compute on so many cores."""
    torch.set_num_threads(count)
