from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adaspring.tables import EXPIRES_S, EnergyCorrection


@given(st.floats(0.3, 3.0), st.floats(0.5, 5.0), st.integers(0, 2**32 - 1))
def test_the_slope_of_power_is_the_factor(factor: float, idle_w: float, seed: int) -> None:
    """Whatever the rest of the device draws, the power that grows with the frames tells what they really take."""
    rng = np.random.default_rng(seed)
    correction = EnergyCorrection()
    for predicted_w in rng.uniform(0.0, 1.0, 100).tolist():
        correction.observe(predicted_w, idle_w + factor * predicted_w + rng.normal(0, 0.02 * factor), "calm")
    assert correction.factor("calm") == pytest.approx(factor, rel=0.1)
    assert correction.factor("elsewhere", "calm") == correction.factor("calm")


def test_a_load_that_does_not_vary_teaches_nothing() -> None:
    """Without a spread of frames no slope is seen, and the table is trusted."""
    correction = EnergyCorrection()
    rng = np.random.default_rng(0)
    for _ in range(200):
        correction.observe(0.5, 3.0 + rng.normal(0, 0.2))
    for _ in range(200):
        correction.observe(0.5 + rng.normal(0, 0.01), 3.0 + rng.normal(0, 0.5), "noisy")
    assert (1.0, 1.0, ()) == (correction.factor(), correction.factor("noisy"), correction.learned())


def test_what_was_learned_survives_and_expires() -> None:
    """A factor goes on after a restart and is forgotten after a week."""
    now = 1e9
    correction = EnergyCorrection(wall=lambda: now)
    for index in range(40):
        correction.observe(index / 40, 2.0 + 1.5 * index / 40)
    restarted = EnergyCorrection(wall=lambda: now)
    restarted.restore(correction.learned())
    assert restarted.factor() == pytest.approx(1.5)
    now += EXPIRES_S + 1
    assert restarted.factor() == 1.0


def test_readings_that_cannot_be_are_passed_over() -> None:
    """A sensor that gives nothing sensible moves nothing."""
    correction = EnergyCorrection()
    for index in range(60):
        correction.observe(index / 60, float("nan") if index % 2 else -1.0)
    assert correction.learned() == ()
