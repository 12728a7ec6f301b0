from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adaspring.decide.lateness import Arrivals

#: Of the standard normal distribution, as printed in tables: the 20th and the 95th percentile.
LOW_Z, TAIL_Z = -0.84162, 1.64485


def simulated_late_share(compute_p95_s: float, asked_s: float, rate_hz: float, tail_ratio: float) -> float:
    """Share of late frames of a queue that is lived through frame by frame."""
    rng = np.random.default_rng(0)
    frames = 400_000
    sigma = np.log(tail_ratio) / (TAIL_Z - LOW_Z)
    compute_s = compute_p95_s * np.exp(sigma * (rng.standard_normal(frames) - TAIL_Z))
    gaps_s = rng.exponential(1 / rate_hz, frames)
    # Lindley: a frame waits for what is left of the one before it.
    steps = compute_s[:-1] - gaps_s[1:]
    summed = np.concatenate([[0.0], steps.cumsum()])
    wait_s = summed - np.minimum.accumulate(summed)
    return float((wait_s + compute_s > asked_s).mean())


@pytest.mark.parametrize("tail_ratio", [1.1, 1.6])
@pytest.mark.parametrize("rate_hz", [1.0, 20.0, 60.0])
@pytest.mark.parametrize("late", [0.05, 0.01])
def test_as_many_frames_of_a_queue_are_late_as_may_be(tail_ratio: float, rate_hz: float, late: float) -> None:
    """Frames of a queue with the compute that the formula gives are late about as often as asked.

    Waits are taken as exponential: that errs by a quarter on the wrong side and by a factor of four on the safe one.
    """
    asked_s = 0.02
    compute_s = Arrivals(rate_hz, tail_ratio).compute_within_s(asked_s, late, 1.0)
    share = simulated_late_share(compute_s, asked_s, rate_hz, tail_ratio)
    assert 0.25 * late < share < 1.25 * late


@given(st.floats(0.1, 1e3), st.floats(1.0, 4.0), st.floats(0.001, 0.5), st.floats(1e-4, 1.0))
def test_more_compute_or_more_frames_make_more_of_them_late(
    rate_hz: float, tail_ratio: float, compute_s: float, asked_s: float
) -> None:
    """The share lies between 0 and 1 and never falls as compute or rate grow."""
    shares = [Arrivals(rate_hz, tail_ratio).late_share(compute_s * scale, asked_s) for scale in (0.5, 0.8, 1.0, 1.3)]
    assert shares == sorted(shares)
    faster = Arrivals(2 * rate_hz, tail_ratio).late_share(compute_s, asked_s)
    assert 0 <= shares[2] <= faster + 1e-12 <= 1 + 1e-9


def test_fewer_late_frames_take_less_compute() -> None:
    """The promise of the 95th percentile is met exactly where nobody waits, and each stricter one costs compute."""
    alone = Arrivals(0.0, 1.25)
    assert alone.compute_within_s(0.02, 0.05, 1.0) == pytest.approx(0.02)
    budgets = [Arrivals(10.0, 1.25).compute_within_s(0.02, late, 1.0) for late in (0.001, 0.01, 0.05, 0.2)]
    assert budgets == sorted(budgets)
    assert len(set(budgets)) == len(budgets)
