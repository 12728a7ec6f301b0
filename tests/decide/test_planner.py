from __future__ import annotations

from collections.abc import Callable
from itertools import count

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adaspring.context.model import Context
from adaspring.decide import Cause, Decision, Planner, Policy, replay
from adaspring.decide.decision import Corrections
from adaspring.errors import ConfigError, TableError
from adaspring.space import SearchSpace, subnet_costs
from adaspring.tables import DeviceTables, LatencyCorrection, SlotTable, build_atlas

CAUSE = Cause("start", "the first decision")
PLUGGED = Context(at_s=1.0, external_power=True, temperature_c=40.0, memory_available_mib=500.0, event_rate_hz=5.0)
DRAINED = Context(at_s=2.0, battery_percent=8.0, temperature_c=40.0, memory_available_mib=500.0, event_rate_hz=5.0)


def contexts(count: int) -> list[Context]:
    """Contexts of every kind, some readings missing."""
    rng = np.random.default_rng(0)

    def maybe(low: float, high: float) -> float | None:
        return float(rng.uniform(low, high)) if rng.random() < 0.8 else None

    return [
        Context(
            at_s=float(index),
            battery_percent=maybe(0, 100),
            external_power=bool(rng.random() < 0.3),
            temperature_c=maybe(30, 85),
            throttled=bool(rng.random() < 0.1),
            memory_available_mib=maybe(1, 30),
            event_rate_hz=maybe(0, 2e4),
        )
        for index in range(count)
    ]


def test_a_drained_battery_takes_a_thriftier_subnet(make_planner: Callable[..., Planner]) -> None:
    """With the battery the importance of energy grows, and accuracy pays for it within its floor."""
    planner = make_planner()
    plugged = planner.decide(PLUGGED, None, CAUSE)
    drained = planner.decide(DRAINED, None, CAUSE)
    assert drained.predicted.energy_mj < plugged.predicted.energy_mj
    assert drained.predicted.accuracy_percent < plugged.predicted.accuracy_percent
    assert drained.predicted.accuracy_percent >= planner.reference.accuracy_percent - 5.0
    assert drained.feasible


def test_an_emergency_takes_the_least_energy_that_its_floor_allows(
    make_planner: Callable[..., Planner], space: SearchSpace
) -> None:
    """At critical temperature only energy counts."""
    planner = make_planner()
    hot = msgspec.structs.replace(PLUGGED, temperature_c=90.0)
    decision = planner.decide(hot, None, CAUSE)
    others = space.random(np.random.default_rng(0), 500)
    energy = planner.tables.energy_mj.evaluate(space, others)
    for genome in others[energy < decision.predicted.energy_mj]:
        assert planner.predict(genome).accuracy_percent < planner.reference.accuracy_percent - 15.0


def test_predictions_are_those_of_the_tables(
    make_planner: Callable[..., Planner], space: SearchSpace, accuracy: SlotTable
) -> None:
    """What a decision promises is what the tables and the layers say of its subnet."""
    planner = make_planner()
    for context in contexts(20):
        decision = planner.decide(context, None, CAUSE)
        genome = space.check(decision.genome)
        costs = subnet_costs(space, genome)
        predicted = decision.predicted
        assert decision.text == space.format(genome)
        assert predicted.accuracy_percent == pytest.approx(accuracy.evaluate(space, genome[None])[0])
        assert predicted.latency_us == pytest.approx(planner.tables.latency_us.evaluate(space, genome[None])[0])
        assert predicted.latency_p95_us == pytest.approx(1.25 * predicted.latency_us)
        assert predicted.energy_mj == pytest.approx(planner.tables.energy_mj.evaluate(space, genome[None])[0])
        assert predicted.parameters == costs.parameters
        element = 4 if space.precision(genome) == "float32" else 1
        held = element * (costs.parameters + costs.peak_activation_elements) + 0.5 * 2**20
        assert predicted.memory_bytes == pytest.approx(held, abs=1)
        assert predicted == planner.predict(genome)


def test_decisions_keep_their_budgets_or_say_which_they_could_not(make_planner: Callable[..., Planner]) -> None:
    """A feasible decision meets every budget; another names what gave way, with figures."""
    planner = make_planner(latency_p95_ms=0.02)
    seen = set()
    for context in contexts(60):
        decision = planner.decide(context, None, CAUSE)
        budgets, predicted = decision.budgets, decision.predicted
        given = {relaxed.quantity for relaxed in decision.relaxed}
        kept = {
            "accuracy": predicted.accuracy_percent >= budgets.accuracy_percent - 1e-6,
            "latency": predicted.latency_p95_us <= budgets.latency_p95_us * (1 + 1e-6),
            "energy": budgets.energy_mj is None or predicted.energy_mj <= budgets.energy_mj * (1 + 1e-6),
            "memory": budgets.memory_mib is None or predicted.memory_bytes <= budgets.memory_mib * 2**20 + 1,
        }
        assert {name for name, holds in kept.items() if not holds} == given
        assert decision.feasible == (not given)
        assert decision.bound <= decision.objective
        assert decision.gap_percent == pytest.approx(0.0, abs=0.01)
        for relaxed in decision.relaxed:
            assert relaxed.sentence.startswith(f"{relaxed.quantity} relaxed from ")
        seen |= given
    assert {"accuracy", "latency", "memory"} <= seen


def test_alternatives_say_why_they_lost(make_planner: Callable[..., Planner], space: SearchSpace) -> None:
    """The subnet that ran, one that budgets forbid, and runners-up, each with a reason that is true."""
    planner = make_planner(latency_p95_ms=0.035, switching_cost=0.0)
    decision = planner.decide(PLUGGED, space.full(), CAUSE)
    roles = [other.role for other in decision.alternatives]
    assert roles[:2] == ["running until now", "better score, over budget"]
    assert "runner-up" in roles
    assert len({other.genome for other in decision.alternatives} | {decision.genome}) == len(roles) + 1
    for other in decision.alternatives:
        assert other.text == space.format(space.check(other.genome))
        if other.role == "runner-up":
            assert other.objective >= decision.objective
            assert f"the chosen one {decision.objective:.4f}" in other.why_not
            assert other.predicted.latency_p95_us <= decision.budgets.latency_p95_us
    assert "latency would be" in decision.alternatives[0].why_not
    assert decision.alternatives[1].objective < decision.objective


def test_the_running_subnet_stays_if_little_is_gained(make_planner: Callable[..., Planner], space: SearchSpace) -> None:
    """A switch must pay for itself."""
    best = space.check(make_planner().decide(PLUGGED, None, CAUSE).genome)
    drained_a_little = msgspec.structs.replace(PLUGGED, external_power=False, battery_percent=68.0)
    assert make_planner(switching_cost=1.0).decide(drained_a_little, best, CAUSE).genome == tuple(best.tolist())


def test_measured_latency_corrects_predictions_and_choices(
    make_planner: Callable[..., Planner], space: SearchSpace
) -> None:
    """On a device three times slower than its tables, the budget is met again after a few measurements."""
    planner = make_planner(latency_p95_ms=0.07)
    first = planner.decide(PLUGGED, None, CAUSE)
    genome = space.check(first.genome)
    for _ in range(10):
        planner.observe(genome, first.predicted.latency_us * 3)
    assert planner.latency_correction == pytest.approx(3.0)
    assert planner.predict(genome).latency_p95_us == pytest.approx(3 * first.predicted.latency_p95_us)
    second = planner.decide(PLUGGED, genome, CAUSE)
    assert second.feasible
    assert second.predicted.latency_p95_us <= second.budgets.latency_p95_us * (1 + 1e-6)
    assert 3 * first.predicted.latency_p95_us > second.budgets.latency_p95_us
    # What was learned cool is not believed hot.
    planner.decide(msgspec.structs.replace(PLUGGED, temperature_c=75.0), genome, CAUSE)
    assert planner.latency_correction == 1.0


def test_the_tail_of_served_frames_binds_the_latency_budget(
    make_planner: Callable[..., Planner], space: SearchSpace
) -> None:
    """Frames whose tail is twice that of the table leave half the budget to the percentile that the table holds."""
    planner = make_planner(latency_p95_ms=0.07)
    first = planner.decide(PLUGGED, None, CAUSE)
    genome = space.check(first.genome)
    low_us, tail = first.predicted.latency_us, 2 * planner.tables.facts.tail_ratio
    planner.observe(genome, [*[low_us] * 9, low_us * tail] * 21)
    assert planner.tail_ratio == pytest.approx(tail)
    second = planner.decide(PLUGGED, genome, CAUSE)
    assert second.corrections.tail_ratio == pytest.approx(tail)
    assert second.feasible
    assert second.genome != first.genome
    assert second.predicted.latency_us * tail <= second.budgets.latency_p95_us * (1 + 1e-6)


@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.tuples(st.floats(0.0, 1.0), st.floats(0.0, 1.0)), min_size=2, max_size=30),
    st.sampled_from([0.02, 0.03, 0.05, 0.07, 0.1]),
)
def test_readings_that_waver_bring_no_subnet_back(
    make_planner: Callable[..., Planner], wavers: list[tuple[float, float]], latency_ms: float
) -> None:
    """Frames and events that vary within the slack, in any order, do not make the daemon go back and forth."""
    planner = make_planner(latency_p95_ms=latency_ms)
    incumbent, left = None, set()
    for speed, memory in wavers:
        own = 1.2 * 1.1**speed
        corrections = Corrections(own, 1.25, 1.0, own)
        context = msgspec.structs.replace(PLUGGED, memory_available_mib=4.0 * 1.1**memory)
        genome = planner.choose(context, incumbent, corrections=corrections).genome
        assert genome.tobytes() not in left
        if incumbent is not None and not np.array_equal(genome, incumbent):
            left.add(incumbent.tobytes())
        incumbent = genome


@pytest.mark.parametrize("latency_ms", [0.025, 0.03, 0.05])
def test_a_device_whose_subnets_are_each_off_in_their_own_way_settles(
    make_planner: Callable[..., Planner], space: SearchSpace, latency_ms: float
) -> None:
    """Deciding again and again in one context, with frames learned in between, ends with one subnet."""
    for seed in range(4):
        planner, rng = make_planner(latency_p95_ms=latency_ms), np.random.default_rng(seed)
        incumbent, switches = None, 0
        off: dict[bytes, float] = {}
        for _ in range(60):
            genome = planner.choose(PLUGGED, incumbent).genome
            switches += incumbent is not None and not np.array_equal(genome, incumbent)
            incumbent = genome
            low_us = float(planner.tables.latency_us.evaluate(space, genome[None])[0])
            low_us *= off.setdefault(genome.tobytes(), float(np.exp(rng.normal(0.1, 0.06))))
            planner.observe(genome, low_us * np.exp(rng.normal(0.11, 0.136, 200)))
        assert switches <= 5


def test_decisions_survive_the_disk_and_are_made_again_bit_for_bit(
    make_planner: Callable[..., Planner], space: SearchSpace, accuracy: SlotTable, device_tables: DeviceTables
) -> None:
    """Encoded, decoded and replayed on another planner over the same tables, only the time differs."""
    planner = make_planner()
    incumbent = None
    for seed, context in enumerate(contexts(25)):
        decision = planner.decide(context, incumbent, CAUSE, seed=seed)
        incumbent = space.check(decision.genome)
        planner.observe(incumbent, decision.predicted.latency_us * 1.1)
        kept = msgspec.json.decode(msgspec.json.encode(decision), type=Decision)
        assert kept == decision
        other = Planner(space, accuracy, device_tables, planner.policy, correction=LatencyCorrection())
        again = replay(kept, other)
        assert msgspec.structs.replace(decision, search_us=0.0) == again


def test_an_emergency_takes_the_least_energy_there_is(
    make_planner: Callable[..., Planner], space: SearchSpace, device_tables: DeviceTables
) -> None:
    """Throttled, the smallest subnet by energy is chosen, whatever it loses and however dear a switch is."""
    planner = make_planner(switching_cost=10.0)
    context = msgspec.structs.replace(PLUGGED, throttled=True)
    decision = planner.decide(context, space.full(), CAUSE)
    genomes = space.random(np.random.default_rng(0), 5000)
    least = device_tables.energy_mj.evaluate(space, np.concatenate([genomes, space.smallest()[None]])).min()
    assert decision.predicted.energy_mj <= least + 1e-9
    assert decision.feasible


def test_an_atlas_changes_the_start_and_not_the_answer(
    make_planner: Callable[..., Planner], space: SearchSpace, accuracy: SlotTable, device_tables: DeviceTables
) -> None:
    """From an atlas or without, the proven optimum is the same."""
    plain = make_planner()
    parameters = plain.tables.energy_mj
    atlas = build_atlas(space, accuracy, device_tables.latency_us, device_tables.energy_mj, parameters, members=32)
    started = Planner(space, accuracy, device_tables, plain.policy, atlas=atlas)
    for context in contexts(20):
        expected = plain.decide(context, None, CAUSE).objective
        assert started.decide(context, None, CAUSE).objective == pytest.approx(expected, rel=1e-5)


def test_a_deadline_that_bites_is_recorded(make_planner: Callable[..., Planner]) -> None:
    """A decision that had no time says so, is a decision all the same, and is replayed bit for bit."""
    planner = make_planner(search_deadline_ms=1.0, latency_p95_ms=0.025)
    hurried = []
    for context in contexts(20):
        # Every look at this clock takes a second.
        decision = planner.decide(context, None, CAUSE, clock=count(0.0, 1.0).__next__)
        assert decision.bound <= decision.objective
        assert msgspec.structs.replace(decision, search_us=0.0) == replay(decision, planner)
        hurried.append(not decision.in_time)
    assert any(hurried)


def test_what_cannot_be_decided_from_is_refused(
    space: SearchSpace, accuracy: SlotTable, device_tables: DeviceTables
) -> None:
    """Tables with a hole and a policy above the bundle are refused before the first decision."""
    values = device_tables.latency_us.values.copy()
    values[0, 0, space.width_index(3), 0] = np.nan
    broken = DeviceTables(
        device_tables.facts, SlotTable(values, device_tables.latency_us.head), device_tables.energy_mj
    )
    with pytest.raises(TableError, match="table latency: entry"):
        Planner(space, accuracy, broken, Policy())
    with pytest.raises(ConfigError, match="even the full network is predicted to reach only"):
        Planner(space, accuracy, device_tables, Policy(least_accuracy_percent=99.0))
