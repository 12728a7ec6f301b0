from __future__ import annotations

import numpy as np

from adaspring.app.status import measured


def test_late_requests_are_those_that_took_longer_than_asked() -> None:
    """In percent of the requests, beside percentiles of compute; nothing is told before the first."""
    told = measured(np.array([100.0, 200.0, 300.0]), np.array([900.0, 1000.0, 1001.0, 5000.0]), 1000.0)
    assert (3, 200.0, 50.0, 1000.0) == (told.frames, told.latency_p50_us, told.late_percent, told.asked_us)
    nothing = measured(np.empty(0), np.empty(0), 1000.0)
    assert (0, None, None) == (nothing.frames, nothing.latency_p95_us, nothing.late_percent)
