from __future__ import annotations

import random
from itertools import pairwise
from math import exp

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adaspring.context.model import EventState
from adaspring.context.smoothing import CALM_S, EventActivity, EventRate, MovingAverage

finite = st.floats(-1e6, 1e6)


def test_a_step_arrives_with_the_time_constant() -> None:
    """After one time constant 63 % of a step has arrived."""
    average = MovingAverage(2.0)
    assert average.update(0.0, 0.0) == 0
    assert pytest.approx(10 * (1 - exp(-1))) == average.update(10.0, 2.0)


def test_an_absent_value_forgets_the_past() -> None:
    """What comes back after an absence is taken as it is."""
    average = MovingAverage(2.0)
    average.update(100.0, 0.0)
    assert average.update(None, 1.0) is None
    assert average.update(5.0, 2.0) == 5


@given(st.lists(st.tuples(finite, st.floats(0, 1e4)), min_size=1, max_size=20))
def test_an_average_stays_within_what_it_was_given(steps: list[tuple[float, float]]) -> None:
    """However uneven the ticks, a suspend included, the average lies between the extremes."""
    average, at_s = MovingAverage(3.0), 0.0
    for value, wait_s in steps:
        at_s += wait_s
        smoothed = average.update(value, at_s)
    values = [value for value, _ in steps]
    assert smoothed is not None
    assert min(values) - 1e-6 <= smoothed <= max(values) + 1e-6


def test_a_clock_that_stands_still_changes_nothing() -> None:
    """Two ticks at the same time leave average and rate where they are."""
    average, rate = MovingAverage(1.0), EventRate(1.0)
    average.update(1.0, 5.0)
    assert average.update(9.0, 5.0) == 1
    assert [None, None] == [rate.update(0, 5.0), rate.update(9, 5.0)]


def test_a_steady_rate_is_found() -> None:
    """Twenty events a second are twenty hertz, from the second look on."""
    rate = EventRate(2.0)
    assert rate.update(100, 0.0) is None
    for tick in range(1, 6):
        assert pytest.approx(20.0) == rate.update(100 + 10 * tick, tick / 2)


def test_extra_looks_do_not_disturb_the_rate() -> None:
    """Looking again a millisecond after an event barely moves a smoothed rate."""
    rate = EventRate(2.0)
    for tick in range(40):
        rate.update(10 * tick, float(tick))
    assert pytest.approx(10.5, abs=0.1) == rate.update(391, 39.001)


def states(counts: list[int]) -> list[EventState | None]:
    """The state after each second with so many events."""
    activity, total, seen = EventActivity(2.0), 0, []
    for second, count in enumerate(counts):
        total += count
        seen.append(activity.update(total, float(second)))
    return seen


def test_a_steady_stream_is_steady_and_its_end_is_idle() -> None:
    """The first look knows nothing, silence is idle after a while, and the first event ends it."""
    seen = states([20] * 30 + [0] * 12 + [20])
    assert [None] == seen[:1]
    assert {"steady"} == set(seen[1:30])
    assert ("idle", "idle") == (seen[40], seen[41])
    assert seen[42] != "idle"


def test_a_jump_is_a_burst_until_it_is_the_usual() -> None:
    """Ten times as many events are a burst at once; after minutes they are what is usual here."""
    seen = states([10] * 60 + [100] * 240)
    assert "burst" not in seen[:60]
    assert "burst" in seen[60:63]
    assert "steady" == seen[-1]


def test_chance_is_no_burst() -> None:
    """Few events that come at random double now and then, which means nothing."""
    rng = random.Random(7)
    seen = states([sum(rng.random() < 0.02 for _ in range(50)) for _ in range(600)])
    assert seen.count("burst") < 0.05 * len(seen)


def test_clumps_are_one_burst() -> None:
    """A hundred events every eight seconds are one burst that goes on, and not one after the other."""
    seen = states([10] * 60 + [100, 0, 0, 0, 0, 0, 0, 0] * 20)
    assert {"burst"} == set(seen[62:])


@given(st.lists(st.tuples(st.integers(0, 1000), st.floats(0, 30)), max_size=100))
def test_no_events_make_bursts_begin_and_end_all_the_time(looks: list[tuple[int, float]]) -> None:
    """However events come and looks are spaced, a burst begins at most once in the time of calm that ends one."""
    activity, total, at_s = EventActivity(2.0), 0, 0.0
    begun_s: list[float] = []
    before: EventState | None = None
    for count, wait_s in looks:
        total, at_s = total + count, at_s + wait_s
        state = activity.update(total, at_s)
        if state == "burst" and before != "burst":
            begun_s.append(at_s)
        before = state
    for first, second in pairwise(begun_s[1:]):
        assert second - first >= CALM_S
