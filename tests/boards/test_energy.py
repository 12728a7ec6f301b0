from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from adaspring.boards import frame_energy_mj, load_profile


def test_energy_is_power_by_time_and_bytes_by_their_price(toys: Path) -> None:
    """2 W more for 500 us are 1 mJ, and 1e7 bytes at 100 pJ another."""
    board = load_profile("toy", folder=toys)
    energy = frame_energy_mj(board, np.array([500.0, 0.0]), np.array([0.0, 4e6]), np.array([0.0, 6e6]))
    np.testing.assert_allclose([1.0, 1.0], energy)


def test_what_is_impossible_stays_impossible(toys: Path) -> None:
    """An infinite entry of a table gives infinity, never a NaN."""
    board = load_profile("toy", folder=toys)
    assert frame_energy_mj(board, np.array([np.inf]), np.array([np.inf]), np.array([np.inf])) == np.inf


@given(st.floats(0, 1e6), st.floats(0, 1e9), st.floats(0, 1e9))
def test_energy_adds_up(latency: float, weights: float, activations: float) -> None:
    """The energy of two slots together is the sum of their energies, on every board."""
    board = load_profile("raspberry-pi-5", folder=Path(__file__).parents[2] / "device_profiles")
    parts = frame_energy_mj(board, np.array([latency, 7.0]), np.array([weights, 8.0]), np.array([activations, 9.0]))
    whole = frame_energy_mj(board, np.array([latency + 7]), np.array([weights + 8]), np.array([activations + 9]))
    np.testing.assert_allclose(whole, parts.sum())
