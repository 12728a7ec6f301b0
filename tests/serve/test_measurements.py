"""Counters and recent times."""

from __future__ import annotations

import numpy as np

from adaspring.serve.measurements import KEPT, RECENT, Measurements


def test_nothing_is_known_before_the_first_request() -> None:
    """Empty arrays, not zeros."""
    measurements = Measurements()
    assert (0, 0) == (measurements.recent_compute_us(None).size, measurements.recent_total_us(None).size)


def test_only_the_last_requests_are_kept() -> None:
    """The ring holds its length, and the oldest leave."""
    measurements = Measurements()
    for index in range(RECENT + 10):
        measurements.record(1, float(index), 2.0 * index)
    np.testing.assert_array_equal(np.sort(measurements.recent_compute_us(None)), np.arange(10.0, RECENT + 10))
    np.testing.assert_array_equal(np.sort(measurements.recent_total_us(1)), 2 * np.arange(10.0, RECENT + 10))


def test_times_belong_to_their_generation() -> None:
    """A reader may ask for what one generation took."""
    measurements = Measurements()
    for generation, compute_us in ((1, 10.0), (2, 20.0), (2, 21.0)):
        measurements.record(generation, compute_us, 100.0)
    assert measurements.recent_compute_us(1).tolist() == [10.0]
    assert measurements.recent_compute_us(2).tolist() == [20.0, 21.0]
    assert measurements.recent_compute_us(3).tolist() == []
    assert measurements.statistics(0, 0.0).generation == 2


def test_requests_that_do_not_tell_what_a_frame_takes_are_kept_apart() -> None:
    """Tables predict frames, so only those are compared with them."""
    measurements = Measurements()
    measurements.record(1, np.nan, 800.0)
    measurements.record(1, 100.0, 200.0)
    assert measurements.recent_compute_us(None).tolist() == [100.0]
    assert measurements.recent_total_us(None).tolist() == [800.0, 200.0]


def test_snapshot_does_not_change_afterwards() -> None:
    """What a reader holds stays as it was."""
    measurements = Measurements()
    before = measurements.statistics(3, 1.5)
    measurements.rejected["shape"] += 1
    measurements.record(1, 1.0, 1.0)
    assert (0, 0, 3, 1.5) == (before.rejected["shape"], before.answered, before.queue_depth, before.last_progress_s)


def test_every_request_is_told_once_to_who_looks_now_and_then() -> None:
    """Whichever generation answered, as far back as times are kept; compute only where it is known."""
    measurements = Measurements()
    measurements.record(1, 10.0, 11.0)
    measurements.record(2, float("nan"), 22.0)
    seen, compute_us, total_us = measurements.times_since(0)
    assert (2, [10.0], [11.0, 22.0]) == (seen, compute_us.tolist(), total_us.tolist())
    measurements.record(2, 30.0, 33.0)
    seen, compute_us, total_us = measurements.times_since(seen)
    assert (3, [30.0], [33.0]) == (seen, compute_us.tolist(), total_us.tolist())
    for _ in range(KEPT + 10):
        measurements.record(3, 1.0, 1.0)
    seen, _, total_us = measurements.times_since(seen)
    assert (KEPT + 13, KEPT) == (seen, len(total_us))


def test_frames_since_a_look_are_all_told_in_order() -> None:
    """Who looks now and then gets each frame of the subnet once, oldest first, up to what is kept."""
    measurements = Measurements()
    for index in range(5):
        measurements.record(1, float(index), 0.0)
    measurements.record(1, float("nan"), 0.0)
    measurements.record(2, 50.0, 0.0)
    assert measurements.compute_us_since(2, 1).tolist() == [2.0, 3.0, 4.0]
    assert measurements.compute_us_since(0, 2).tolist() == [50.0]
    assert measurements.compute_us_since(7, 2).tolist() == []
    for index in range(KEPT + 10):
        measurements.record(3, float(index), 0.0)
    np.testing.assert_array_equal(measurements.compute_us_since(0, 3), np.arange(10.0, KEPT + 10))
