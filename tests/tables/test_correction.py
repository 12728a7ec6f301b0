from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adaspring.errors import TableError
from adaspring.tables import EXPIRES_S, LatencyCorrection, Learned
from adaspring.tables.correction import WINDOW


def test_without_measurements_the_tables_are_trusted() -> None:
    """The factor is one until something was measured."""
    assert LatencyCorrection().factor("hot") == 1.0


@given(st.floats(0.2, 6.0), st.integers(0, 2**32 - 1))
def test_a_changed_device_is_learned_within_fifty_frames(factor: float, seed: int) -> None:
    """Whatever the new speed, fifty noisy measurements bring the factor within a tenth of it."""
    rng = np.random.default_rng(seed)
    correction = LatencyCorrection()
    for _ in range(50):
        predicted = rng.uniform(50, 500)
        correction.observe(predicted, predicted * factor * np.exp(rng.normal(0, 0.03)))
    assert correction.factor() == pytest.approx(factor, rel=0.1)


@given(st.lists(st.floats(1e-3, 1e6), max_size=WINDOW // 5 - 1), st.integers(0, 2**32 - 1))
def test_outliers_move_nothing(outliers: list[float], seed: int) -> None:
    """Frames that took any time, fewer than a fifth, in any order, move the factor by no more than noise does."""
    rng = np.random.default_rng(seed)
    correction = LatencyCorrection()
    correction.observe(100, 120 * np.exp(rng.normal(0, 0.05, 50)))
    frames = np.concatenate([outliers, 120 * np.exp(rng.normal(0, 0.05, WINDOW - len(outliers)))])
    for measured in rng.permutation(frames):
        correction.observe(100, measured)
    assert correction.factor() == pytest.approx(1.2 * np.exp(-0.04), rel=0.13)


@given(st.floats(0.2, 6.0), st.floats(0.2, 6.0), st.floats(0.0, 0.15), st.integers(0, 2**32 - 1))
def test_a_step_is_followed_within_fifty_frames(before: float, after: float, share: float, seed: int) -> None:
    """Slower or quicker by any factor, and some frames too long: fifty frames later the factor is the new one."""
    rng = np.random.default_rng(seed)
    correction = LatencyCorrection()
    for factor in (before, after):
        frames = 100 * factor * np.exp(rng.normal(0, 0.03, 50))
        frames[rng.random(50) < share] *= 10.0
        for measured in frames:
            correction.observe(100, measured)
    assert correction.factor() == pytest.approx(after, rel=0.1)


def test_a_slower_device_is_noticed_before_most_frames_are_of_it() -> None:
    """Sixteen frames that took twice as long, a quick one among them, outweigh any number of before."""
    correction = LatencyCorrection()
    correction.observe(100, [100.0] * 50)
    slow = [200.0] * 16
    slow[7] = 90.0
    for measured in slow[:15]:
        correction.observe(100, measured)
    assert correction.factor() == pytest.approx(1.0)
    correction.observe(100, slow[15])
    assert correction.factor() == pytest.approx(2.0)


@given(st.floats(0.0, 0.12), st.floats(0.7, 1.0), st.integers(0, 2**32 - 1))
def test_a_factor_does_not_wander(spread: float, share_low: float, seed: int) -> None:
    """Frames of two kinds, seven in ten of them quick: the factor stays with the quick ones, frame after frame."""
    rng = np.random.default_rng(seed)
    frames = 100 * np.exp(rng.normal(0, spread, 400)) * np.where(rng.random(400) < share_low, 1.0, 1.7)
    correction = LatencyCorrection()
    correction.observe(100, frames[:50])
    for measured in frames[50:]:
        correction.observe(100, measured)
        assert 0.7 < correction.factor() < 1.3


def test_conditions_are_kept_apart() -> None:
    """What was learned hot says nothing about cool."""
    correction = LatencyCorrection()
    for _ in range(10):
        correction.observe(100, 200, "hot")
    assert correction.factor("hot") == pytest.approx(2.0)
    assert correction.factor("cool") == 1.0


@pytest.mark.parametrize(("predicted", "measured"), [(0, 1), (1, 0), (-1, 1), (1, float("nan")), (float("inf"), 1)])
def test_what_is_no_latency_is_refused(predicted: float, measured: float) -> None:
    """A latency that is not a positive number is refused and nothing is learned."""
    correction = LatencyCorrection()
    with pytest.raises(TableError, match="positive number of microseconds"):
        correction.observe(predicted, measured)
    assert correction.factor() == 1.0


def test_what_was_learned_survives_and_expires() -> None:
    """A factor goes on after a restart, stands until new frames say otherwise, and is forgotten after a week."""
    now = 1e9
    correction = LatencyCorrection(wall=lambda: now)
    correction.observe(100, [200.0] * 20, "hot")
    [learned] = correction.learned()
    assert ("hot", 20, now) == (learned.condition, learned.frames, learned.at)
    restarted = LatencyCorrection(wall=lambda: now)
    restarted.restore([learned])
    assert restarted.factor("hot") == pytest.approx(2.0)
    restarted.observe(100, [200.0] * 3, "hot")
    assert restarted.factor("hot") == pytest.approx(2.0)
    now += EXPIRES_S + 1
    assert (1.0, ()) == (restarted.factor("hot"), restarted.learned())
    restarted.restore([learned])
    assert restarted.factor("hot") == 1.0


def test_the_nearest_condition_stands_in() -> None:
    """Where nothing was measured, a condition named as near tells more than nothing."""
    correction = LatencyCorrection()
    correction.observe(100, [300.0] * 20, "mains cool")
    assert correction.factor("battery cool", "mains cool") == pytest.approx(3.0)
    assert correction.factor("battery hot", "mains hot") == 1.0


@given(st.floats(0.3, 4.0), st.integers(0, 2**32 - 1))
def test_the_low_percentile_of_frames_is_learned(factor: float, seed: int) -> None:
    """Frames with the long tail that interruptions leave teach what the table holds: their low percentile."""
    rng = np.random.default_rng(seed)
    frames = 100 * factor * (1 + rng.exponential(0.1, 200))
    correction = LatencyCorrection()
    for part in np.split(frames, 20):
        correction.observe(100, part)
    assert correction.factor() == pytest.approx(np.percentile(frames[-50:], 20) / 100, rel=0.05)


def test_subnets_that_are_off_in_different_ways_are_told_apart() -> None:
    """The worst that ran lately stands for all; each that ran is known by its own; a slower device moves all."""
    correction = LatencyCorrection()
    correction.observe(100, [150.0] * 30, "cool", b"slow")
    correction.observe(100, [120.0] * 30, "cool", b"quick")
    assert correction.factor("cool") == pytest.approx(1.5)
    assert correction.factor_of(b"quick", "cool") == pytest.approx(1.2)
    assert correction.factor_of(b"new", "cool") == pytest.approx(1.5)
    correction.observe(100, [240.0] * 60, "cool", b"quick")
    assert correction.factor_of(b"slow", "cool") == pytest.approx(3.0)
    assert correction.factor("cool") == pytest.approx(3.0)


@settings(deadline=None)
@given(st.floats(0.5, 3.0), st.floats(0.03, 0.15), st.integers(0, 2**32 - 1))
def test_the_tail_of_frames_is_learned(factor: float, spread: float, seed: int) -> None:
    """Whatever the speed of the device, factor and tail together tell the 95th percentile of its frames."""
    frames = 100 * factor * np.exp(np.random.default_rng(seed).normal(0, spread, 2000))
    correction = LatencyCorrection()
    for part in np.split(frames, 100):
        correction.observe(100, part)
    tail = correction.tail_ratio()
    assert tail is not None
    assert correction.factor() * tail == pytest.approx(np.percentile(frames, 95) / 100, rel=0.2)


@given(st.lists(st.floats(1.0, 1e4), min_size=1, max_size=8), st.integers(0, 2**32 - 1))
def test_a_few_stalls_leave_the_tail_where_it_was(stalls: list[float], seed: int) -> None:
    """Frames that took any time, fewer than one in fifty, move the tail by less than the frames themselves spread."""
    rng = np.random.default_rng(seed)
    correction = LatencyCorrection()
    correction.observe(100, 100 * np.exp(rng.normal(0, 0.05, 504)))
    before = correction.tail_ratio()
    for stall in stalls:
        correction.observe(100, [100 * stall])
    assert correction.tail_ratio() == pytest.approx(before, rel=0.06)


def test_a_tail_needs_frames_and_a_change_of_speed_is_none() -> None:
    """Too few frames tell no tail; frames that became slower for good teach the factor, not the tail."""
    correction = LatencyCorrection()
    correction.observe(100, [100.0, 110.0] * 50, "cool")
    assert correction.tail_ratio("cool") is None
    correction.observe(100, [100.0, 110.0] * 60, "cool")
    assert correction.tail_ratio("hot", "cool") == pytest.approx(1.1)
    for _ in range(10):
        correction.observe(100, [300.0, 330.0] * 10, "cool")
    assert correction.factor("cool") == pytest.approx(3.0)
    assert correction.tail_ratio("cool") == pytest.approx(1.1)


def test_a_tail_survives_a_restart_and_expires() -> None:
    """The tail goes on with its factor, and a tail below one is refused."""
    now = 1e9
    correction = LatencyCorrection(wall=lambda: now)
    correction.observe(100, [100.0, 120.0] * 150, "hot")
    restarted = LatencyCorrection(wall=lambda: now)
    restarted.restore(correction.learned())
    assert restarted.tail_ratio("hot") == pytest.approx(1.2)
    now += EXPIRES_S + 1
    assert restarted.tail_ratio("hot") is None
    with pytest.raises(ValueError, match="tail ratio must be at least one"):
        Learned("hot", 1.0, 1, now, 0.9)
