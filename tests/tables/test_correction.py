from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adaspring.errors import TableError
from adaspring.tables import LatencyCorrection


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


@given(st.lists(st.sampled_from([30.0, 2000.0]), min_size=1, max_size=4))
def test_a_few_outliers_move_nothing(outliers: list[float]) -> None:
    """Less than five outliers in a row to one side leave the factor where it was."""
    correction = LatencyCorrection()
    for _ in range(30):
        correction.observe(100, 120)
    before = correction.factor()
    for measured in outliers:
        correction.observe(100, measured)
    assert before == correction.factor()


def test_outliers_to_both_sides_do_not_agree() -> None:
    """Outliers that disagree are noise, however many."""
    correction = LatencyCorrection()
    for measured in [30.0, 400.0] * 10:
        correction.observe(100, measured)
    assert correction.factor() == 1.0


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
