from __future__ import annotations

from math import exp
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adaspring.simulate import DayState, Scenario, SimulatedDevice, load_scenario
from adaspring.simulate.physics import STEP_S

HOUR_S = 3600.0


@pytest.fixture
def scenario(tmp_path: Path, short_day: str) -> Scenario:
    """The short day."""
    path = tmp_path / "short.toml"
    path.write_text(short_day, encoding="utf-8")
    return load_scenario(path)


def walk(scenario: Scenario, step_s: float) -> list[DayState]:
    """The states of a whole day, every ``step_s`` seconds."""
    device, states = SimulatedDevice(scenario), []
    time_s = scenario.span.from_h * HOUR_S
    while time_s < scenario.span.to_h * HOUR_S:
        time_s += step_s
        states.append(device.advance_to(time_s))
    return states


def test_an_idle_battery_drains_at_its_rate(scenario: Scenario) -> None:
    """An hour without load takes the idle drain, and the current says the same."""
    state = SimulatedDevice(scenario).advance_to(9 * HOUR_S - STEP_S)
    assert pytest.approx(50 - 10, abs=0.05) == state.battery_percent
    assert pytest.approx(-100) == state.current_ma
    assert pytest.approx(3.4 + 0.8 * state.battery_percent / 100) == state.voltage_v


def test_a_plugged_battery_charges_until_it_is_full(scenario: Scenario) -> None:
    """Half an hour on the supply gives half of the hourly charge; a full battery takes none."""
    device = SimulatedDevice(scenario)
    before = device.advance_to(9.5 * HOUR_S)
    after = device.advance_to(10 * HOUR_S)
    assert before.plugged
    assert pytest.approx(before.battery_percent + 20) == after.battery_percent
    battery = msgspec.structs.replace(scenario.battery, start_percent=100, plugged=(scenario.span,))
    full = SimulatedDevice(msgspec.structs.replace(scenario, battery=battery)).advance_to(9 * HOUR_S)
    assert (100, 0) == (full.battery_percent, full.current_ma)


def test_temperature_follows_with_its_time_constant(scenario: Scenario) -> None:
    """In balance at the start; a jump of the load arrives as an exponential."""
    thermal = msgspec.structs.replace(scenario.thermal, ambient=((8.0, 20.0),), throttle_c=200.0)
    device = SimulatedDevice(msgspec.structs.replace(scenario, thermal=thermal))
    assert pytest.approx(40) == device.advance_to(9 * HOUR_S).temperature_c
    after = device.advance_to(9 * HOUR_S + 60)
    # The load fluctuates by a tenth.
    assert pytest.approx(40 + 30 * (1 - exp(-1)), abs=2.1) == after.temperature_c


def test_heat_throttles_and_hysteresis_holds(scenario: Scenario) -> None:
    """The clock drops above the threshold and stays down until the processor has cooled to the release."""
    states = walk(scenario, STEP_S)
    throttled = [state.throttled for state in states]
    assert True in throttled
    assert not any(state.throttled for state in states if state.time_s < 9 * HOUR_S)
    for state in states:
        assert (500 if state.throttled else 1000) == state.clock_mhz
        if state.throttled:
            assert state.temperature_c >= scenario.thermal.release_c
        else:
            assert state.temperature_c < scenario.thermal.throttle_c


def test_memory_gets_short_and_comes_back(scenario: Scenario) -> None:
    """Within the shortage memory is what it says, half way up the ramp half as far, outside as usual."""
    device = SimulatedDevice(scenario)
    before = device.advance_to(8.9 * HOUR_S)
    half = device.advance_to(9.05 * HOUR_S)
    middle = device.advance_to(9.25 * HOUR_S)
    after = device.advance_to(9.6 * HOUR_S)
    assert (0, 20, 40, 0) == pytest.approx(
        (before.memory_pressure_percent, half.memory_pressure_percent, middle.memory_pressure_percent, 0), abs=0.1
    )
    assert middle.memory_available_mib == 50
    for state in (before, after):
        assert 0.9 * 600 <= state.memory_available_mib <= 600


def test_activity_follows_the_schedule(scenario: Scenario) -> None:
    """Name, event rate and load are those of the hour."""
    device = SimulatedDevice(scenario)
    quiet, burst = device.state(), device.advance_to(9.2 * HOUR_S)
    assert ("quiet", 5, 0) == (quiet.activity, quiet.events_hz, quiet.cpu_percent)
    assert ("burst", 100) == (burst.activity, burst.events_hz)
    assert pytest.approx(50, abs=6) == burst.cpu_percent


def test_time_neither_goes_back_nor_beyond_the_span(scenario: Scenario) -> None:
    """An earlier time changes nothing, and the day ends with its span."""
    device = SimulatedDevice(scenario)
    later = device.advance_to(9 * HOUR_S)
    assert later == device.advance_to(8 * HOUR_S)
    assert device.advance_to(100 * HOUR_S).time_s == 10 * HOUR_S


@settings(max_examples=10)
@given(cuts=st.lists(st.floats(6.0, 20.5), max_size=30))
def test_a_day_is_the_same_however_it_is_cut(cuts: list[float]) -> None:
    """The state at noon does not depend on when anybody looked before."""
    device = SimulatedDevice(load_scenario())
    for hour in sorted(cuts):
        if hour < 12:
            device.advance_to(hour * HOUR_S)
    assert SimulatedDevice(load_scenario()).advance_to(12 * HOUR_S) == device.advance_to(12 * HOUR_S)


def test_another_seed_is_another_day_of_the_same_kind() -> None:
    """Fluctuations follow the seed alone."""
    scenario = load_scenario()
    other = msgspec.structs.replace(scenario, seed=scenario.seed + 1)
    assert walk(scenario, 900) == walk(scenario, 900)
    assert walk(scenario, 900) != walk(other, 900)


@settings(max_examples=8)
@given(
    seed=st.integers(0, 2**32 - 1),
    start=st.floats(0, 100),
    drain=st.floats(0, 200),
    charge=st.floats(0, 500),
    ambient=st.floats(-20, 60),
    constant=st.floats(0.1, 1e5),
)
def test_no_day_leaves_the_bounds_of_nature(
    *, seed: int, start: float, drain: float, charge: float, ambient: float, constant: float
) -> None:
    """Whatever the parameters, charge stays within 0..100 and temperature between ambient and full load."""
    scenario = load_scenario()
    battery = msgspec.structs.replace(
        scenario.battery, start_percent=start, idle_percent_per_h=drain, charge_percent_per_h=charge
    )
    thermal = msgspec.structs.replace(scenario.thermal, ambient=((0.0, ambient),), time_constant_s=constant)
    scenario = msgspec.structs.replace(scenario, seed=seed, battery=battery, thermal=thermal)
    hottest = ambient + thermal.idle_rise_c + thermal.load_rise_c * scenario.cores
    for state in walk(scenario, 1200):
        assert 0 <= state.battery_percent <= 100
        assert ambient - 1e-6 <= state.temperature_c <= hottest + 1e-6
        assert 0 <= state.cpu_percent <= 100
        assert 0 <= state.memory_available_mib <= state.memory_total_mib
        assert 0 <= state.memory_pressure_percent <= 100


def test_the_day_that_ships_gives_a_policy_something_to_do() -> None:
    """Charge falls, is topped up and falls again; it gets hot and throttles; memory gets short; events burst."""
    states = walk(load_scenario(), 60)
    charge = [state.battery_percent for state in states]
    assert charge[0] > 90
    assert 5 < charge[-1] < 20
    assert min(charge[: len(charge) // 2]) < 40
    assert max(charge[len(charge) // 2 :]) > 95
    assert states[0].temperature_c < 50
    assert max(state.temperature_c for state in states) > 75
    assert 0.01 < sum(state.throttled for state in states) / len(states) < 0.2
    assert min(state.memory_available_mib for state in states) < 100
    assert {"night", "quiet", "active", "burst"} == {state.activity for state in states}
