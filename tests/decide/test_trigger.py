from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adaspring.context.model import Context
from adaspring.context.smoothing import EventActivity, EventRate
from adaspring.decide import Policy, Reference, Trigger, TriggerPolicy, budgets

POLICY = Policy()
REFERENCE = Reference(accuracy_percent=94.0, accuracy_span_points=10.0, energy_mj=8.0)
CALM = Context(
    at_s=0.0,
    battery_percent=60.0,
    external_power=False,
    temperature_c=50.0,
    throttled=False,
    memory_available_mib=500.0,
    event_rate_hz=10.0,
    latency_p95_us=1000.0,
)


def changed(**quantities: object) -> Context:
    """The calm context with some quantities changed."""
    return msgspec.structs.replace(CALM, **quantities)


def decide(trigger: Trigger, context: Context, now_s: float, policy: Policy = POLICY) -> None:
    """Tell a trigger that a decision was made."""
    trigger.decided(context, budgets(policy, context, REFERENCE), now_s)


@pytest.fixture
def trigger() -> Trigger:
    """A trigger after a decision in the calm context at second 0."""
    trigger = Trigger(POLICY)
    decide(trigger, CALM, 0.0)
    return trigger


def test_the_first_context_is_a_cause() -> None:
    """Without a decision there is one to make."""
    cause = Trigger(POLICY).check(CALM, 0.0)
    assert cause is not None
    assert cause.kind == "start"


@pytest.mark.parametrize(
    ("quantities", "kind", "sentence"),
    [
        ({"external_power": True}, "power", "external power: off, now on"),
        ({"external_power": None}, "power", "external power: off, now unknown"),
        ({"battery_percent": 55.0}, "battery", "battery went from 60 to 55 %"),
        ({"battery_percent": None}, "sensor", "battery_percent is gone: no reason known"),
        ({"temperature_c": 72.0}, "temperature", "temperature went from 50 to 72 °C"),
        (
            {"temperature_c": 60.0, "temperature_rise_c_per_min": 24.0},
            "temperature",
            "at 60 °C and rising, 72 °C are to be expected in 30 s",
        ),
        ({"deadline_us": 10000.0}, "deadline", "clients allow 10 ms where they allowed 20"),
        ({"queue_depth": 4.0}, "queue", "4 frames wait where 0 did"),
        ({"memory_available_mib": 300.0}, "memory", "available memory went from 500 to 300 MiB"),
        ({"event_rate_hz": 16.0}, "event_rate", "events went from 10 to 16 a second"),
        ({"event_rate_hz": 6.0}, "event_rate", "events went from 10 to 6 a second"),
        ({"event_state": "burst"}, "event_rate", "a burst began, at 10 events a second"),
        ({"latency_p95_us": 30_000.0}, "latency", "frames take 30 ms, over the budget of 12.9 ms"),
    ],
)
def test_what_changes_budgets_is_a_cause_after_the_dwell(
    trigger: Trigger, quantities: dict[str, object], kind: str, sentence: str
) -> None:
    """A change beyond its band is told with figures, once the dwell is over."""
    context = changed(**quantities)
    assert trigger.check(context, 4.9) is None
    cause = trigger.check(context, 5.0)
    assert cause is not None
    assert (kind, sentence) == (cause.kind, cause.sentence)


@pytest.mark.parametrize(
    "quantities",
    [
        {},
        {"battery_percent": 56.0},
        {"temperature_c": 65.0},
        {"memory_available_mib": 400.0},
        {"event_rate_hz": 14.0},
        {"event_rate_hz": 7.0},
        {"latency_p95_us": 14_000.0},
        {"latency_p95_us": None},
        {"cpu_percent": 90.0},
        {"event_state": "idle"},
    ],
)
def test_noise_is_no_cause(trigger: Trigger, quantities: dict[str, object]) -> None:
    """What stays within its band, or changes no budget, is no cause."""
    assert trigger.check(changed(**quantities), 30.0) is None


def test_a_lull_within_a_burst_is_none(trigger: Trigger) -> None:
    """While a burst lasts only more events count; its end counts, however few come then."""
    decide(trigger, changed(event_state="burst", event_rate_hz=100.0), 0.0)
    assert trigger.check(changed(event_state="burst", event_rate_hz=1.0), 30.0) is None
    faster = trigger.check(changed(event_state="burst", event_rate_hz=160.0), 30.0)
    over = trigger.check(changed(event_state="steady", event_rate_hz=90.0), 30.0)
    assert faster is not None
    assert over is not None
    assert "events went from 100 to 160 a second" == faster.sentence
    assert "a burst is over, at 90 events a second" == over.sentence


def test_events_in_clumps_make_few_decisions() -> None:
    """A hundred events every eight seconds: at most three decisions a minute, where the dwell would allow thirteen."""
    trigger, rate, activity = Trigger(POLICY), EventRate(2.0), EventActivity(2.0)
    received, decided_s = 0, []
    for second in range(660):
        received += 10 if second < 60 else 100 * (second % 8 == 0)
        now_s = float(second)
        context = changed(event_rate_hz=rate.update(received, now_s), event_state=activity.update(received, now_s))
        if trigger.check(context, now_s) is not None:
            decided_s.append(second)
            decide(trigger, context, now_s)
    for minute in range(60, 600):
        assert sum(minute <= at_s < minute + 60 for at_s in decided_s) <= 4
    assert len(decided_s) <= 3 * 11


def test_slow_events_are_alike(trigger: Trigger) -> None:
    """Between one frame in ten seconds and none there is no difference to budget for."""
    slow = changed(event_rate_hz=0.1)
    decide(trigger, slow, 0.0)
    assert trigger.check(changed(event_rate_hz=0.0), 30.0) is None


def test_a_decision_is_due_after_a_while(trigger: Trigger) -> None:
    """Even if nothing changes, what was learned since may matter."""
    assert trigger.check(CALM, 59.9) is None
    cause = trigger.check(CALM, 60.0)
    assert cause is not None
    assert cause.kind == "periodic"


def test_a_violation_that_a_decision_could_not_mend_is_tried_again_less_often(trigger: Trigger) -> None:
    """Over budget as much as at the last decision: again after four dwells; worse: after one."""
    late = changed(latency_p95_us=30_000.0)
    decide(trigger, late, 0.0)
    assert trigger.check(late, 6.0) is None
    assert trigger.check(changed(latency_p95_us=40_000.0), 6.0) is not None
    assert trigger.check(late, 20.0) is not None


def test_an_emergency_passes_at_once_and_ends_only_after_calm(trigger: Trigger) -> None:
    """Throttling is a cause within the dwell; back to normal it goes after an unbroken calm."""
    throttled = changed(throttled=True)
    cause = trigger.check(throttled, 0.1)
    assert cause is not None
    assert cause.kind == "emergency"
    decide(trigger, throttled, 0.1)
    assert trigger.emergency
    # Neither calm that does not last nor any other change ends it.
    assert trigger.check(CALM, 10.0) is None
    assert trigger.check(throttled, 20.0) is None
    assert trigger.check(changed(external_power=True), 21.0) is None
    # Close below the limit is not calm.
    assert trigger.check(changed(temperature_c=78.0), 22.0) is None
    assert trigger.check(CALM, 23.0) is None
    assert trigger.check(CALM, 52.9) is None
    cause = trigger.check(CALM, 53.0)
    assert cause is not None
    assert (cause.kind, cause.sentence) == ("recovery", "calm for 30 s after an emergency")
    decide(trigger, CALM, 53.0)
    assert not trigger.emergency


def test_heat_alone_is_an_emergency(trigger: Trigger) -> None:
    """The critical temperature counts without a throttle flag."""
    cause = trigger.check(changed(temperature_c=81.0, throttled=None), 0.1)
    assert cause is not None
    assert cause.sentence == "81 °C is critical"


def maybe(low: float, high: float) -> st.SearchStrategy[float | None]:
    """A reading within a range, or none."""
    return st.one_of(st.none(), st.floats(low, high))


HOSTILE = st.tuples(
    st.floats(0.01, 3.0),
    st.builds(
        changed,
        battery_percent=maybe(0, 100),
        external_power=st.sampled_from([True, False, None]),
        temperature_c=maybe(0, 100),
        temperature_rise_c_per_min=maybe(-100, 100),
        queue_depth=maybe(0, 100),
        deadline_us=maybe(1, 1e6),
        time_of_day_s=maybe(0, 86_399),
        throttled=st.sampled_from([True, False, None]),
        memory_available_mib=maybe(0, 4000),
        event_rate_hz=maybe(0, 1e4),
        event_state=st.sampled_from(["idle", "steady", "burst", None]),
        latency_p95_us=maybe(0, 1e6),
    ),
)


@settings(deadline=None)
@given(
    st.lists(HOSTILE, min_size=1, max_size=120),
    st.sampled_from([0.5, 2.0, 10.0]),
    st.sampled_from([1.0, 5.0, 20.0]),
    st.sampled_from([5.0, 15.0, 60.0]),
)
def test_no_sequence_makes_it_flip_flop(
    sequence: list[tuple[float, Context]], dwell_s: float, recovery_s: float, window_s: float
) -> None:
    """Whatever the readings do, decisions in any window stay below what dwell and recovery allow."""
    policy = Policy(trigger=TriggerPolicy(min_dwell_s=dwell_s, recovery_s=recovery_s))
    trigger = Trigger(policy)
    now_s = 0.0
    ordinary: list[float] = []
    emergencies: list[float] = []
    for step_s, context in sequence:
        now_s += step_s
        cause = trigger.check(context, now_s)
        if cause is not None:
            (emergencies if cause.kind == "emergency" else ordinary).append(now_s)
            decide(trigger, context, now_s, policy)
    for times, gap_s in ((ordinary, dwell_s), (emergencies, recovery_s)):
        for first in times:
            assert sum(first <= time < first + window_s for time in times) <= window_s / gap_s + 1
