from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from adaspring.workbench.factorise import over_axes, over_channels, over_inputs, per_channel


def weight_of(outputs: int, inputs: int, seed: int) -> Tensor:
    """A random square convolution."""
    return torch.randn((outputs, inputs, 3, 3), generator=torch.Generator().manual_seed(seed))


def error(weight: Tensor, pair: tuple[Tensor, Tensor], groups: int = 1) -> float:
    """How far the pair, run one behind the other, is from the convolution: relative, on random images."""
    x = torch.randn((2, weight.shape[1], 9, 7), generator=torch.Generator().manual_seed(1))
    first, second = pair
    wanted = functional.conv2d(x, weight, padding=1)
    between = functional.conv2d(x, first, padding=[extent // 2 for extent in first.shape[2:]], groups=groups)
    found = functional.conv2d(between, second, padding=[extent // 2 for extent in second.shape[2:]])
    return float((found - wanted).norm() / wanted.norm())


@given(outputs=st.integers(1, 12), inputs=st.integers(1, 12), seed=st.integers(0, 9))
def test_enough_rank_gives_the_convolution_itself(outputs: int, inputs: int, seed: int) -> None:
    """Factors of full rank compute the same, also where more rank is asked for than there is."""
    weight = weight_of(outputs, inputs, seed)
    rank = 3 * max(outputs, inputs)
    assert error(weight, over_channels(weight, rank)) < 1e-5
    assert error(weight, over_axes(weight, rank)) < 1e-5
    assert error(weight, over_inputs(weight, rank)) < 1e-5


@pytest.mark.parametrize("factorise", [over_channels, over_axes, over_inputs])
def test_more_rank_is_nearer(factorise: object) -> None:
    """The approximation gets better with every step of rank, and its parts have the shapes asked for."""
    assert callable(factorise)
    weight = weight_of(16, 12, 0)
    pairs = [factorise(weight, rank) for rank in (2, 6, 10)]
    assert [2, 6, 10] == [pair[0].shape[0] for pair in pairs]
    errors = [error(weight, pair) for pair in pairs]
    assert sorted(errors, reverse=True) == errors


def test_as_many_filters_as_a_kernel_has_taps_give_the_convolution_itself() -> None:
    """Each input channel, copied for each of its filters; more filters than taps change nothing."""
    weight = weight_of(12, 5, 2)
    for filters in (9, 11):
        depthwise, pointwise = per_channel(weight, filters)
        x = torch.randn((2, 5, 9, 7))
        copies = x.repeat_interleave(filters, dim=1)
        between = functional.conv2d(copies, depthwise, padding=1, groups=5 * filters)
        torch.testing.assert_close(
            functional.conv2d(between, pointwise), functional.conv2d(x, weight, padding=1), rtol=1e-4, atol=1e-4
        )


def test_one_filter_for_each_channel_is_found() -> None:
    """A convolution that is a depthwise one and a 1x1 is taken apart into them; the filters let the mean through."""
    depthwise, pointwise = torch.rand((6, 1, 3, 3)) - 0.3, torch.randn((8, 6, 1, 1))
    weight = pointwise * depthwise.transpose(0, 1)
    pair = per_channel(weight)
    assert error(weight, pair, groups=6) < 1e-5
    assert bool((pair[0].sum(dim=(1, 2, 3)) >= 0).all())
