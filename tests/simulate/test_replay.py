from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import msgspec
import numpy as np
import pytest

from adaspring.boards import load_profile
from adaspring.bundle import Bundle
from adaspring.cli.adaspring import main
from adaspring.cli.simulate_command import Simulated, simulate
from adaspring.decide import Policy
from adaspring.errors import ConfigError
from adaspring.profile import estimate_tables
from adaspring.resources import resource
from adaspring.simulate import Scenario, load_scenario
from adaspring.simulate.lanes import Lanes
from adaspring.simulate.plant import Contract, Judge, Truth
from adaspring.simulate.report import html_report
from adaspring.simulate.scenario import Period
from adaspring.tables import DeviceTables


@pytest.fixture(scope="module")
def minutes() -> Scenario:
    """Twelve minutes of the shipped day, a change of activity in the middle."""
    day = load_scenario("wearable-day")
    activity = (
        msgspec.structs.replace(day.activity[0], from_h=7.4),
        msgspec.structs.replace(day.activity[1], from_h=7.5),
    )
    return msgspec.structs.replace(day, span=Period(7.4, 7.6), activity=activity)


@pytest.fixture(scope="module")
def tables(small_bundle: Bundle) -> DeviceTables:
    """Estimated tables of the small bundle."""
    return estimate_tables(small_bundle, "test", load_profile("generic-x86_64", folder=resource("device_profiles")))


@pytest.fixture(scope="module")
def simulated(minutes: Scenario, small_bundle_folder: Path) -> Simulated:
    """A replay of them."""
    return simulate(minutes, Policy(), bundle_name=str(small_bundle_folder), seeds=2, statics=3)


def test_a_day_is_told_step_by_step(simulated: Simulated, minutes: Scenario) -> None:
    """Each step of the model is a moment; frames are those of the scenario; everybody lives the same day."""
    day = simulated.days[0]
    assert 72 == pytest.approx(len(day.moments), abs=1)
    frames = 360 * minutes.activity[0].events_hz + 360 * minutes.activity[1].events_hz
    assert day.adaptive.frames == pytest.approx(frames, rel=0.1)
    assert {day.adaptive.frames, day.oracle.frames} == {outcome.frames for outcome in day.statics.values()}
    assert day.moments[0].cause == "the daemon started"
    energy = [moment.energy_mj for moment in day.moments]
    assert energy == sorted(energy)
    assert day.adaptive.energy_mj >= energy[-1] > 0


def test_a_seed_gives_the_same_day_and_another_another(
    simulated: Simulated, minutes: Scenario, small_bundle_folder: Path
) -> None:
    """The replay is deterministic; the truth differs from seed to seed."""
    again = simulate(minutes, Policy(), bundle_name=str(small_bundle_folder), seeds=1, statics=3)
    assert simulated.days[0] == again.days[0]
    assert simulated.days[0].adaptive.energy_mj != simulated.days[1].adaptive.energy_mj


def test_the_truth_is_near_the_tables_and_not_them(small_bundle: Bundle, tables: DeviceTables) -> None:
    """The plant's tables are off by a spread, so that a planner cannot know them."""
    space = small_bundle.space
    genomes = space.random(np.random.default_rng(0), 100)
    truth = Truth.drawn(space, small_bundle.accuracy.percent, tables, 0).of(genomes)
    ratio = truth.latency_us / tables.latency_us.evaluate(space, genomes)
    assert np.all((ratio > 0.5) & (ratio < 2.0))
    assert np.std(ratio) > 0.005


def test_frames_are_late_when_they_take_or_wait_too_long(small_bundle: Bundle, tables: DeviceTables) -> None:
    """No frame is late with time to spare, all are beyond deadline or capacity, and more load means more waiting."""
    truth = Truth.drawn(small_bundle.space, small_bundle.accuracy.percent, tables, 0)
    judge = Judge(Policy(latency_p95_ms=10.0), truth)
    quick, slow = np.array([100.0]), np.array([20_000.0])
    assert judge.late_share(quick, 10.0)[0] == pytest.approx(0.0, abs=1e-6)
    assert judge.late_share(slow, 1.0)[0] == 1.0
    assert judge.late_share(np.array([5000.0]), 1000.0)[0] == 1.0
    shares = [float(judge.late_share(np.array([4000.0]), rate)[0]) for rate in (1.0, 50.0, 100.0, 150.0)]
    assert shares == sorted(shares)
    assert shares[-1] > shares[0]


def test_an_empty_battery_loses_frames_and_load_drains_it(
    minutes: Scenario, small_bundle: Bundle, tables: DeviceTables
) -> None:
    """Battery and heat follow the load of the subnet, and a device that is off answers nothing."""
    truth = Truth.drawn(small_bundle.space, small_bundle.accuracy.percent, tables, 0)
    judge = Judge(Policy(), truth)
    served = truth.of(small_bundle.space.full()[None])
    both = dataclasses.replace(
        served,
        genomes=np.repeat(served.genomes, 2, axis=0),
        accuracy_percent=served.accuracy_percent.repeat(2),
        latency_us=served.latency_us * np.array([1.0, 1e4]),
        energy_mj=served.energy_mj.repeat(2),
    )
    lanes = Lanes(minutes, judge, 2)
    while not lanes.finished:
        lanes.step(both, np.arange(2))
    assert lanes.bodies.battery_percent[1] < lanes.bodies.battery_percent[0]
    assert lanes.bodies.temperature_c[1] > lanes.bodies.temperature_c[0]
    empty = msgspec.structs.replace(minutes, battery=msgspec.structs.replace(minutes.battery, start_percent=0.0))
    lane = Lanes(empty, judge)
    while not lane.finished:
        lane.step(served, np.zeros(1, dtype=np.intp))
    [outcome] = lane.outcomes(np.zeros(1, dtype=np.int64))
    assert (outcome.frames, 0.0, 0.0) == (outcome.lost, outcome.energy_mj, outcome.hours)


def test_lanes_do_not_touch_each_other(small_bundle: Bundle, tables: DeviceTables) -> None:
    """Side by side, devices live through exactly the day that each would have alone, through heat and dips."""
    scenario = load_scenario("hot-day")
    space = small_bundle.space
    truth = Truth.drawn(space, small_bundle.accuracy.percent, tables, 1)
    judge = Judge(Policy(), truth, Contract(deadline_ms=0.4, loss_points=2.0))
    subnets = truth.of(space.random(np.random.default_rng(0), 5))
    together = Lanes(scenario, judge, 5)
    alone = [Lanes(scenario, judge) for _ in range(5)]
    while not together.finished:
        together.step(subnets, np.arange(5))
        for index, lane in enumerate(alone):
            lane.step(subnets, np.array([index]))
    nothing = np.zeros(5, dtype=np.int64)
    assert together.outcomes(nothing) == [lane.outcomes(nothing[:1])[0] for lane in alone]
    assert together.state() == alone[0].state()


def test_a_contract_judges_apart_from_the_policy(small_bundle: Bundle, tables: DeviceTables) -> None:
    """Frames are held to the contract's deadline and floor where it names them, to the policy's where it does not."""
    truth = Truth.drawn(small_bundle.space, small_bundle.accuracy.percent, tables, 0)
    policy, low_us = Policy(latency_p95_ms=10.0), np.array([15_000.0])
    bodies = Lanes(load_scenario("wearable-day"), Judge(policy, truth)).bodies
    own, other = Judge(policy, truth), Judge(policy, truth, Contract(deadline_ms=100.0, loss_points=7.0))
    assert own.late_share(low_us, 1.0)[0] > other.late_share(low_us, 1.0)[0]
    lower = own.floors_percent(bodies)[0] - other.floors_percent(bodies)[0]
    assert lower == pytest.approx(7.0 - policy.max_accuracy_loss_points)


def test_the_page_stands_alone(simulated: Simulated) -> None:
    """One file, no script, no address but its own; every plot and every switch is in it, and findings are escaped."""
    page = html_report("a <day>", simulated.comparison, simulated.days[0], ["line 3: 5 < 6"])
    assert page.count("<svg") == 7
    assert "http" not in page
    assert "<script" not in page
    assert "a &lt;day&gt;" in page
    assert "line 3: 5 &lt; 6" in page
    for moment in simulated.days[0].moments:
        assert not moment.cause or moment.subnet in page


def test_the_command_writes_page_and_figures(
    tmp_path: Path, small_bundle_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A trace by its path, told where it is wrong; the last line is the comparison."""
    trace = tmp_path / "trace.csv"
    trace.write_text("time_s,event_rate_hz,mood\n0,5,1\n60,20,1\n120,5,1\n", encoding="utf-8")
    options = ["--bundle", str(small_bundle_folder), "--trace", str(trace), "--seeds", "1", "--statics", "2"]
    assert main(["simulate", *options, "--out", str(tmp_path / "out")]) == 0
    told = capsys.readouterr()
    assert {"adaptive", "best_static", "smallest_static", "oracle", "regret_to_oracle_percent"} == set(
        json.loads(told.out.splitlines()[-1])
    )
    assert "unknown columns mood" in " ".join(told.err.split())
    assert (tmp_path / "out/day.html").read_text().startswith("<!doctype html>")
    assert json.loads((tmp_path / "out/day.json").read_text())["findings"]


def test_no_seeds_are_refused(minutes: Scenario) -> None:
    """A comparison over nothing says nothing."""
    with pytest.raises(ConfigError, match="at least 1"):
        simulate(minutes, Policy(), seeds=0)


def test_a_trace_that_is_too_short_says_so(
    tmp_path: Path, small_bundle_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three seconds make no step of a day."""
    trace = tmp_path / "trace.csv"
    trace.write_text("time_s,event_rate_hz\n0,5\n3,20\n", encoding="utf-8")
    assert main(["simulate", "--bundle", str(small_bundle_folder), "--trace", str(trace)]) == 1
    assert "the day lasts 3 s; it takes at least one step of 10 s: record longer" in capsys.readouterr().err
