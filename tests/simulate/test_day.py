from __future__ import annotations

from pathlib import Path

import pytest

from adaspring.errors import ConfigError
from adaspring.simulate import DayReplay, LiveTree, load_scenario

HOUR_S = 3600.0


class Clock:
    """A clock that a test turns."""

    now_s = 500.0

    def __call__(self) -> float:
        """The time that the test has set."""
        return self.now_s


def test_a_day_passes_in_the_given_time(tmp_path: Path) -> None:
    """From the first update on, wall time maps linearly onto the span, and the day ends with it."""
    clock, scenario = Clock(), load_scenario()
    replay = DayReplay(scenario, LiveTree(tmp_path), 60.0, clock=clock)
    clock.now_s += 1000
    assert scenario.span.from_h * HOUR_S == replay.update().time_s
    clock.now_s += 30
    middle_s = (scenario.span.from_h + scenario.span.to_h) / 2 * HOUR_S
    assert pytest.approx(middle_s, abs=10) == replay.update().time_s
    assert (0.5, False) == (replay.progress, replay.finished)
    clock.now_s += 100
    assert scenario.span.to_h * HOUR_S == replay.update().time_s
    assert (1.0, True) == (replay.progress, replay.finished)


def test_the_tree_is_there_before_the_day_begins(tmp_path: Path) -> None:
    """A daemon may be started on the tree first; each update then brings it up to date."""
    clock = Clock()
    replay = DayReplay(load_scenario(), LiveTree(tmp_path), 60.0, clock=clock)
    temp = tmp_path / "sys/class/thermal/thermal_zone0/temp"
    before = int(temp.read_text())
    assert replay.progress == 0
    replay.update()
    clock.now_s += 30
    state = replay.update()
    assert before != int(temp.read_text())
    assert round(state.temperature_c * 1e3) == int(temp.read_text())


def test_half_the_time_is_the_same_day(tmp_path: Path) -> None:
    """A shorter replay passes through the same states."""
    states = []
    for seconds in (60.0, 20.0):
        clock = Clock()
        replay = DayReplay(load_scenario(), LiveTree(tmp_path / str(seconds)), seconds, clock=clock)
        replay.update()
        clock.now_s += seconds / 4
        states.append(replay.update())
    assert states[0] == states[1]


def test_a_day_without_time_is_refused(tmp_path: Path) -> None:
    """Zero seconds are a mistake of the caller, told as such."""
    with pytest.raises(ConfigError, match="must take some time"):
        DayReplay(load_scenario(), LiveTree(tmp_path), 0.0)
