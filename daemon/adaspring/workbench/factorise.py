"""Convolutions as products of smaller ones, by truncated singular value decomposition.

Every function takes the weight of a convolution, shape ``(out, in, *kernel)``, and returns the
pair that stands for it, in the order in which the two are run.
"""

from __future__ import annotations

import torch
from torch import Tensor


def over_channels(weight: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """The best pair of a convolution to ``rank`` channels and a 1x1 convolution behind it."""
    basis, expand = _balanced(weight.flatten(1).T, rank)
    point = (1,) * (weight.ndim - 2)
    return basis.T.reshape(rank, *weight.shape[1:]), expand.T.reshape(len(weight), rank, *point)


def over_axes(weight: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """The best pair of a column to ``rank`` channels and a row behind it (Jaderberg et al., BMVC 2014)."""
    outputs, inputs, height, width = weight.shape
    column, row = _balanced(weight.permute(1, 2, 0, 3).reshape(inputs * height, outputs * width), rank)
    return (
        column.T.reshape(rank, inputs, height, 1),
        row.reshape(rank, outputs, 1, width).transpose(0, 1).contiguous(),
    )


def over_inputs(weight: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """The best pair of a 1x1 convolution to ``rank`` channels and a convolution behind it."""
    point = (1,) * (weight.ndim - 2)
    squeeze, expand = _balanced(weight.transpose(0, 1).flatten(1), rank)
    sign = _signs(squeeze.sum(dim=0))
    squeeze, expand = squeeze * sign, expand * sign[:, None]
    expanded = expand.reshape(rank, len(weight), *weight.shape[2:]).transpose(0, 1).contiguous()
    return squeeze.T.reshape(rank, weight.shape[1], *point), expanded


def per_channel(weight: Tensor, filters: int = 1) -> tuple[Tensor, Tensor]:
    """The best pair of a depthwise convolution and a 1x1 convolution: each input channel has few filters for all.

    Args:
        weight: Of the convolution.
        filters: Filters of each input channel; those of one channel stand side by side.
    """
    outputs, inputs, *kernel = weight.shape
    left, values, right = torch.linalg.svd(weight.flatten(2).transpose(0, 1), full_matrices=False)
    missing = max(0, filters - values.shape[1])
    values = torch.nn.functional.pad(values[:, :filters], (0, missing))
    right = torch.nn.functional.pad(right[:, :filters], (0, 0, 0, missing))
    left = torch.nn.functional.pad(left[:, :, :filters], (0, missing))
    sign = _signs(right.sum(dim=2))
    depthwise = (right * sign[:, :, None]).reshape(inputs * filters, 1, *kernel)
    pointwise = (left * (values * sign)[:, None]).transpose(0, 1).reshape(outputs, inputs * filters)
    return depthwise, pointwise.reshape(outputs, inputs * filters, *(1,) * len(kernel))


def _balanced(matrix: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Factors of the best approximation of a rank, as long as each other; zeros beyond the rank that there is."""
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    root = values[:rank].sqrt()
    first, second = left[:, :rank] * root, right[:rank] * root[:, None]
    missing = rank - len(root)
    return torch.nn.functional.pad(first, (0, missing)), torch.nn.functional.pad(second, (0, 0, 0, missing))


def _signs(sums: Tensor) -> Tensor:
    """What makes each positive: inputs are behind a ReLU, and what they sum to should survive the next one."""
    return torch.where(sums < 0, -1.0, 1.0)
