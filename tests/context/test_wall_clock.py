from __future__ import annotations

import time

import pytest

from adaspring.context.wall_clock import clock_state, time_of_day

AFTERNOON = time.struct_time((2026, 11, 24, 17, 30, 15, 1, 328, 0))


@pytest.mark.parametrize(
    ("state", "expected", "reason"),
    [(0, 63_015.0, ""), (5, None, "has not been synchronised since boot"), (-1, None, "does not tell")],
)
def test_the_time_of_day_is_told_once_the_clock_is_synchronised(
    state: int, expected: float | None, reason: str
) -> None:
    """A clock that nobody has set tells no time, and says why."""
    reading = time_of_day(lambda: state, lambda: AFTERNOON)
    assert expected == reading.value
    assert reason in reading.reason


def test_the_kernel_can_be_asked() -> None:
    """adjtimex(2) answers with a state of the clock, or that it must not be asked here."""
    assert clock_state() in {-1, *range(6)}
