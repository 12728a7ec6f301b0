from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from adaspring.boards import load_profile
from adaspring.context import Monitor, Smoothing
from adaspring.errors import ConfigError
from adaspring.simulate import (
    DayReplay,
    LiveTree,
    PowerModel,
    SimulatedDevice,
    board_trees,
    load_board_tree,
    load_scenario,
    on_board,
    scenarios,
)

HOUR_S = 3600.0


class Daemon:
    """Counters of a daemon that received nothing, and a clock that a test turns."""

    received = 0
    latency_p95_us: float | None = None
    queue_depth = 0
    deadline_us: float | None = None
    now_s = 0.0


@pytest.mark.parametrize("scenario", scenarios())
@pytest.mark.parametrize("tree", board_trees())
def test_every_scenario_runs_on_every_board(tmp_path: Path, clone: Path, tree: str, scenario: str) -> None:
    """Whatever the board and the day, the monitor reads what the state says, and never stumbles."""
    board = load_board_tree(tree)
    day = on_board(load_scenario(scenario), load_profile(board.board, folder=clone / "device_profiles"))
    device, live, daemon = SimulatedDevice(day), LiveTree(tmp_path, board=board), Daemon()
    live.write(device.state())
    monitor = Monitor(
        tmp_path, daemon, clock=lambda: daemon.now_s, smoothing=Smoothing(1e-9, 1e-9, 1e-9), deadline_s=10.0
    )
    span_h = day.span.to_h - day.span.from_h
    for step in range(1, 9):
        state = device.advance_to((day.span.from_h + span_h * step / 8) * HOUR_S)
        live.write(state)
        daemon.now_s += 70
        monitor.tick()
        reading = monitor.readings["temperature_c"]
        if reading.value is not None:
            assert pytest.approx(state.temperature_c, abs=1e-3) == reading.value
        if state.undervoltage and "supply_undervoltage" in monitor.readings:
            assert monitor.readings["supply_undervoltage"].value in {1.0, None}


def test_a_board_keeps_its_own_figures(clone: Path) -> None:
    """Cores, clock, memory, temperatures and power come from the profile; the hours stay."""
    profile = load_profile("jetson-orin-nano", folder=clone / "device_profiles")
    day = load_scenario("hot-day")
    carried = on_board(day, profile)
    assert (6, 1510, 8192) == (carried.cores, carried.thermal.clock_mhz, carried.memory.total_mib)
    assert (99, day.activity, day.span) == (carried.thermal.throttle_c, carried.activity, carried.span)
    assert PowerModel(4.5, 1.5) == carried.power


@pytest.mark.parametrize("name", ["raspberry-pi-4b", "jetson-orin-nano", "librem5"])
def test_a_hot_day_throttles_any_board(clone: Path, name: str) -> None:
    """What brings the scenario's device to its limit brings each board to its own."""
    device = SimulatedDevice(on_board(load_scenario("hot-day"), load_profile(name, folder=clone / "device_profiles")))
    assert not device.state().throttled
    state = device.advance_to(13.4 * HOUR_S)
    assert state.throttled_ever


def test_the_load_of_something_real_heats_and_drains() -> None:
    """Cores that a daemon keeps busy count as the scenario's own do."""
    scenario = msgspec.structs.replace(load_scenario(), power=PowerModel(2.0, 1.0))
    idle, busy = SimulatedDevice(scenario), SimulatedDevice(scenario)
    for hour in (6.5, 7.0):
        cool, warm = idle.advance_to(hour * HOUR_S), busy.advance_to(hour * HOUR_S, own_load=2.0)
    assert warm.temperature_c > cool.temperature_c + 10
    assert warm.battery_percent < cool.battery_percent
    assert pytest.approx(cool.power_w + 2) == warm.power_w


@pytest.mark.parametrize(("load", "rises"), [(0.0, False), (3.0, True)])
def test_a_replay_asks_for_the_real_load(tmp_path: Path, *, load: float, rises: bool) -> None:
    """What is told to keep cores busy warms the tree."""
    times_s = iter((0.0, 0.0, 5.0))
    replay = DayReplay(load_scenario(), LiveTree(tmp_path), 100.0, clock=lambda: next(times_s), own_load=lambda: load)
    cool_c = replay.update().temperature_c
    assert rises == (replay.update().temperature_c > cool_c + 20)


def test_a_dip_of_the_supply_is_seen_as_the_board_shows_it(tmp_path: Path, clone: Path) -> None:
    """A Raspberry Pi raises its alarm and its throttle word, now and since boot; a Jetson counts an event."""
    for tree, quantities in {
        "raspberry-pi-4b": {"supply_undervoltage": 1.0, "firmware_undervoltage": 1.0, "throttled_since_boot": 1.0},
        "jetson-orin-nano": {"over_current_events": 1.0},
    }.items():
        board = load_board_tree(tree)
        day = on_board(load_scenario("hot-day"), load_profile(board.board, folder=clone / "device_profiles"))
        root = tmp_path / tree
        LiveTree(root, board=board).write(SimulatedDevice(day).advance_to(14.55 * HOUR_S))
        monitor = Monitor(root, Daemon(), deadline_s=10.0)
        monitor.tick()
        assert quantities == {name: monitor.readings[name].value for name in quantities}


def test_files_vanish_and_come_back(tmp_path: Path) -> None:
    """In a gap the files are gone, behind it they are there again."""
    device, tree = SimulatedDevice(load_scenario("failing-sensors")), LiveTree(tmp_path)
    there = []
    for hour in (8.1, 8.3, 8.55):
        tree.write(device.advance_to(hour * HOUR_S))
        there.append((tmp_path / "sys/class/power_supply/BAT0/capacity").exists())
    assert [True, False, True] == there


def test_an_unknown_board_is_answered_with_the_nearest() -> None:
    """A misspelt name is answered with the one that was meant, any other with all of them."""
    with pytest.raises(ConfigError, match=r"did you mean raspberry-pi-4b"):
        load_board_tree("raspberry-pi-4")
    with pytest.raises(ConfigError, match="known are jetson-agx-orin, "):
        load_board_tree("toaster")


def test_power_is_not_given_away() -> None:
    """A device that draws less than nothing is refused."""
    with pytest.raises(ValueError, match="negative"):
        PowerModel(-1.0, 1.0)
