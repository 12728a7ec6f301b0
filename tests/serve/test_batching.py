"""How many requests are computed at once."""

from __future__ import annotations

import math

import pytest

from adaspring.serve.batching import Batching, paying_sizes

CURVE = {2: 1.95, 4: 3.6, 8: 6.7, 16: 16.5}
WARMED = (1, 2, 4, 8, 16)


def test_only_what_saves_compute_pays() -> None:
    """A size that costs as much as its frames one by one is not used."""
    assert (1, 4, 8) == paying_sizes(CURVE)
    assert (1,) == paying_sizes({})


def test_the_first_frame_of_a_generation_is_computed_alone() -> None:
    """Nothing is known of its time, so no deadline could be held."""
    batching = Batching(CURVE)
    assert 1 == batching.largest(1, WARMED)
    batching.learn(1, 1, 0.001)
    assert (8, 1) == (batching.largest(1, WARMED), batching.largest(2, WARMED))


def test_sizes_that_are_not_warmed_are_not_used() -> None:
    """A subnet that was just flipped in answers one by one until it is warm."""
    batching = Batching(CURVE)
    batching.learn(1, 1, 0.001)
    assert (4, 1) == (batching.largest(1, (1, 2, 4)), batching.largest(1, (1,)))
    assert not batching.fits(0.0, (1, 4))(8, math.inf)


def test_a_batch_must_be_done_by_the_earliest_deadline() -> None:
    """Its time is that of a frame as learned, times its cost on the curve."""
    batching = Batching(CURVE)
    batching.learn(1, 1, 0.001)
    fits = batching.fits(10.0, WARMED)
    assert (True, False) == (fits(8, 10.0068), fits(8, 10.0066))
    assert (True, False) == (fits(4, 10.0037), fits(4, 10.0035))
    assert not fits(3, math.inf)


def test_a_frame_is_learned_from_batches_too() -> None:
    """By their cost on the curve; a size that is not on it tells nothing."""
    batching = Batching(CURVE)
    assert batching.learn(1, 8, 0.0067) == pytest.approx(0.001)
    assert math.isnan(batching.learn(1, 3, 1.0))
    assert batching.learn(1, 1, 0.002) == 0.002
    assert not batching.fits(0.0, WARMED)(8, 0.0073)
    assert batching.fits(0.0, WARMED)(8, 0.0075)
