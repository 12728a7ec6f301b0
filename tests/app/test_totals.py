from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from adaspring.app.totals import BOUNDS_US, Histogram

times_us = st.lists(st.floats(0.0, 1e7), max_size=50)


@given(times_us, times_us)
def test_histogram_counts_every_time_once(first: list[float], second: list[float]) -> None:
    """Each in the class of the least bound that is not below it; in parts or at once makes no difference."""
    parts = Histogram().plus(np.array(first)).plus(np.array(second))
    both = [*first, *second]
    for bound_us, counted in zip(BOUNDS_US, np.cumsum(parts.counts), strict=False):
        assert sum(time_us <= bound_us for time_us in both) == counted
    assert len(both) == sum(parts.counts)
    np.testing.assert_allclose(parts.sum_us, sum(both))
    assert Histogram().plus(np.array(both)).counts == parts.counts
