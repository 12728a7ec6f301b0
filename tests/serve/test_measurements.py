"""Counters and recent times."""

from __future__ import annotations

import numpy as np

from adaspring.serve.measurements import RECENT, Measurements


def test_nothing_is_known_before_the_first_request() -> None:
    """Empty arrays, not zeros."""
    measurements = Measurements()
    assert (0, 0) == (measurements.recent_compute_us(None).size, measurements.recent_total_us(None).size)


def test_only_the_last_requests_are_kept() -> None:
    """The ring holds its length, and the oldest leave."""
    measurements = Measurements()
    for index in range(RECENT + 10):
        measurements.record(1, 1, float(index), 2.0 * index)
    np.testing.assert_array_equal(np.sort(measurements.recent_compute_us(None)), np.arange(10.0, RECENT + 10))
    np.testing.assert_array_equal(np.sort(measurements.recent_total_us(1)), 2 * np.arange(10.0, RECENT + 10))


def test_times_belong_to_their_generation() -> None:
    """A reader may ask for what one generation took."""
    measurements = Measurements()
    for generation, compute_us in ((1, 10.0), (2, 20.0), (2, 21.0)):
        measurements.record(generation, 1, compute_us, 100.0)
    assert measurements.recent_compute_us(1).tolist() == [10.0]
    assert measurements.recent_compute_us(2).tolist() == [20.0, 21.0]
    assert measurements.recent_compute_us(3).tolist() == []
    assert measurements.statistics(0, 0.0).generation == 2


def test_compute_of_batches_is_kept_apart() -> None:
    """Tables predict single samples, so only those are compared with them."""
    measurements = Measurements()
    measurements.record(1, 8, 700.0, 800.0)
    measurements.record(1, 1, 100.0, 200.0)
    assert measurements.recent_compute_us(None).tolist() == [100.0]
    assert measurements.recent_total_us(None).tolist() == [800.0, 200.0]


def test_snapshot_does_not_change_afterwards() -> None:
    """What a reader holds stays as it was."""
    measurements = Measurements()
    before = measurements.statistics(3, 1.5)
    measurements.rejected["shape"] += 1
    measurements.record(1, 1, 1.0, 1.0)
    assert (0, 0, 3, 1.5) == (before.rejected["shape"], before.answered, before.queue_depth, before.last_progress_s)
