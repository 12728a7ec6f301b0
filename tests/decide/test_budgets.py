from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adaspring.context.model import Context
from adaspring.decide import Policy, Reference, budgets, check_policy, latency_budget_us
from adaspring.decide.budgets import asked_in_the_mean_s
from adaspring.decide.lateness import Arrivals
from adaspring.errors import ConfigError

REFERENCE = Reference(accuracy_percent=94.0, accuracy_span_points=10.0, energy_mj=8.0)
NOON_S = 12 * 3600.0


def given_context(**quantities: object) -> Context:
    """A context of which only some quantities are known."""
    return Context(at_s=0.0, **quantities)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("quantities", "expected", "reason"),
    [
        ({"battery_percent": 100.0}, 0.3, "100 % of the battery left"),
        ({"battery_percent": 55.0}, 0.45, "55 % of the battery left"),
        ({"battery_percent": 0.0}, 1.0, "0 % of the battery left"),
        ({"battery_percent": 10.0, "external_power": True}, 0.3, "external power"),
        ({}, 0.65, "charge is unknown"),
        ({"reasons": {"battery_percent": "no battery here"}}, 0.65, "no battery here"),
        ({"battery_percent": 100.0, "temperature_c": 75.0}, 0.65, "75 °C is hot"),
        ({"external_power": True, "temperature_c": 70.0}, 0.3, "70 °C is hot"),
        (
            {"external_power": True, "temperature_c": 65.0, "temperature_rise_c_per_min": 20.0},
            0.65,
            "75 °C, to be expected within 30 s, is hot",
        ),
        ({"battery_percent": 100.0, "temperature_c": 85.0}, 1.0, "85 °C is critical"),
        ({"battery_percent": 100.0, "throttled": True}, 1.0, "throttled"),
    ],
)
def test_energy_gains_importance_as_the_battery_drains_and_the_device_heats_up(
    quantities: dict[str, object], expected: float, reason: str
) -> None:
    """The paper's two importances, with what an empty battery, a supply and heat do to them."""
    allowed = budgets(Policy(), given_context(**quantities), REFERENCE)
    assert allowed.lambda_energy == pytest.approx(expected)
    assert allowed.lambda_accuracy == pytest.approx(1 - expected)
    assert reason in allowed.reasons["importance"]


def test_the_accuracy_floor_is_the_higher_of_loss_and_least() -> None:
    """The floor follows the full network unless the policy names a higher one; an emergency lowers the first."""
    cool, hot = given_context(), given_context(throttled=True)
    assert budgets(Policy(), cool, REFERENCE).accuracy_percent == 89.0
    assert budgets(Policy(), hot, REFERENCE).accuracy_percent == -6.0
    careful = Policy(emergency_accuracy_loss_points=15.0)
    assert budgets(careful, hot, REFERENCE).accuracy_percent == 79.0
    named = Policy(least_accuracy_percent=92.0)
    assert budgets(named, cool, REFERENCE).accuracy_percent == 92.0
    assert budgets(named, hot, REFERENCE).accuracy_percent == 92.0
    assert "policy names it" in budgets(named, hot, REFERENCE).reasons["accuracy"]


def test_a_floor_above_the_full_network_is_refused() -> None:
    """No subnet can be better than the bundle: the message gives both figures."""
    with pytest.raises(ConfigError, match=r"least_accuracy_percent is 97, but even the full network .* 94.0 %"):
        check_policy(Policy(least_accuracy_percent=97.0), REFERENCE)
    check_policy(Policy(least_accuracy_percent=94.0), REFERENCE)


@given(
    st.builds(
        Policy,
        latency_p95_ms=st.floats(0.1, 1e3),
        max_utilisation=st.floats(0.2, 0.95),
        late_percent=st.floats(0.1, 5.0),
    ),
    st.one_of(st.none(), st.floats(0.0, 1e5)),
    st.sampled_from([40.0, 75.0]),
    st.floats(1.0, 4.0),
)
def test_no_more_frames_are_late_than_may_be(
    policy: Policy, rate_hz: float | None, temperature_c: float, tail_ratio: float
) -> None:
    """At the budget no more frames are late than the policy lets, waiting included, and the engine has rest."""
    late_percent, utilisation = policy.late_percent, policy.max_utilisation
    context = given_context(event_rate_hz=rate_hz, temperature_c=temperature_c)
    allowed, reason = latency_budget_us(policy, context, tail_ratio)
    service = allowed * 1e-6
    target = policy.latency_p95_ms * 1e-3 * (0.8 if temperature_c > 70 else 1.0)
    arrivals = Arrivals(rate_hz or 0.0, tail_ratio)
    load = (rate_hz or 0.0) * service
    assert load <= utilisation * (1 + 1e-9)
    assert arrivals.late_share(service, target) <= late_percent / 100 + 1e-9
    # Nothing is given away: one of the two limits binds.
    assert load == pytest.approx(utilisation) or arrivals.late_share(service * 1.001, target) > late_percent / 100
    assert reason.startswith(f"{allowed / 1e3:.3g} ms: ")
    assert ("unknown" in reason) == (rate_hz is None)
    assert (f"all but {late_percent:g} of 100" in reason) == (late_percent != 5 and load < utilisation * (1 - 1e-9))


def test_what_several_models_are_held_to_is_what_one_is_held_to() -> None:
    """Compute at the budget of a model alone, with its mean wait, meets just what is asked of it beside others."""
    for rate_hz in (None, 0.0, 5.0, 25.0):
        context, policy = given_context(event_rate_hz=rate_hz), Policy(late_percent=1.0)
        service = latency_budget_us(policy, context, 1.3)[0] * 1e-6
        load = (rate_hz or 0.0) * service
        assert asked_in_the_mean_s(policy, context, 1.3) == pytest.approx(service + load * service / (2 * (1 - load)))


@given(st.floats(0.0, 1e5), st.floats(0.0, 300.0))
def test_a_burst_is_planned_for_as_that_many_more_events(rate_hz: float, headroom_percent: float) -> None:
    """The budget in a burst is that of a steady rate which is higher by the headroom; idle and steady add nothing."""
    policy = Policy(burst_headroom_percent=headroom_percent)
    higher = given_context(event_rate_hz=rate_hz * (1 + headroom_percent / 100))
    burst, reason = latency_budget_us(policy, given_context(event_rate_hz=rate_hz, event_state="burst"))
    assert burst == latency_budget_us(policy, higher)[0]
    assert ("for a burst" in reason) == (rate_hz > 0)
    plain = latency_budget_us(policy, given_context(event_rate_hz=rate_hz))
    for state in ("steady", "idle"):
        assert plain == latency_budget_us(policy, given_context(event_rate_hz=rate_hz, event_state=state))
    assert burst <= plain[0]


@pytest.mark.parametrize(
    ("quantities", "expected", "reason"),
    [
        ({"memory_available_mib": 400.0}, 100.0, "25 % of 400 MiB"),
        ({"memory_available_mib": 400.0, "memory_pressure_percent": 30.0}, 50.0, "halved"),
        ({"memory_available_mib": 400.0, "memory_pressure_percent": 5.0}, 100.0, "25 % of 400 MiB"),
        ({}, None, "unknown"),
        ({"reasons": {"memory_available_mib": "no /proc/meminfo"}}, None, "no /proc/meminfo"),
    ],
)
def test_memory_is_a_share_of_what_is_available(
    quantities: dict[str, object], expected: float | None, reason: str
) -> None:
    """A subnet may take a share of the available memory, half of it under pressure."""
    allowed = budgets(Policy(), given_context(**quantities), REFERENCE)
    assert expected == allowed.memory_mib
    assert reason in allowed.reasons["memory"]


@given(
    st.builds(
        given_context,
        battery_percent=st.floats(0.0, 100.0),
        temperature_c=st.floats(0.0, 79.9),
        memory_available_mib=st.floats(0.0, 4000.0),
        memory_pressure_percent=st.sampled_from([None, 5.0, 50.0]),
        external_power=st.sampled_from([None, False, True]),
        event_rate_hz=st.just(10.0),
        time_of_day_s=st.just(NOON_S),
    ),
    st.sets(st.sampled_from(["battery_percent", "temperature_c", "memory_available_mib"])),
)
def test_no_budget_is_looser_for_a_sensor_that_failed(known: Context, failed: set[str]) -> None:
    """What was known and is not any more counts as no better than it was; short of an emergency, which is what is."""
    policy = Policy(mission_until="18:00", battery_capacity_wh=10.0)
    lost = {name: getattr(known, name) for name in failed}
    before = budgets(policy, known, REFERENCE)
    after = budgets(policy, msgspec.structs.replace(known, lost=lost, **dict.fromkeys(failed, None)), REFERENCE)
    assert after.lambda_energy >= before.lambda_energy - 1e-12
    assert after.latency_p95_us <= before.latency_p95_us
    for was, is_now in ((before.energy_mj, after.energy_mj), (before.memory_mib, after.memory_mib)):
        assert was is None or (is_now is not None and is_now <= was)


@pytest.mark.parametrize(
    ("lost", "budget", "reason"),
    [
        ({"temperature_c": 40.0}, "importance", "raised because the temperature is not known any more"),
        ({"temperature_c": 40.0}, "latency", "80 % of it when hot"),
        ({"memory_available_mib": 400.0}, "memory", "50 MiB: 12.5 % of 400 MiB available when it was last known"),
        ({"battery_percent": 10.0}, "importance", "is unknown (no sensor gives it), so the 10 % of before"),
        ({"battery_percent": 10.0}, "energy", "only 10 % of the battery is left when it was last known"),
    ],
)
def test_a_loss_is_told_with_what_it_means(lost: dict[str, float], budget: str, reason: str) -> None:
    """Each budget that a lost sensor tightens says so."""
    assert reason in budgets(Policy(), given_context(lost=lost), REFERENCE).reasons[budget]


@pytest.mark.parametrize(
    ("quantities", "expected", "reason"),
    [
        ({"battery_percent": 19.0}, 4.0, "only 19 % of the battery is left"),
        ({"battery_percent": 20.0}, None, "20 % of the battery left"),
        ({"battery_percent": 19.0, "external_power": True}, None, "external power"),
        ({}, None, "unknown"),
    ],
)
def test_energy_is_capped_when_the_battery_is_low(
    quantities: dict[str, object], expected: float | None, reason: str
) -> None:
    """Below a charge, a frame may take only a share of the full network's energy."""
    allowed = budgets(Policy(), given_context(**quantities), REFERENCE)
    assert expected == allowed.energy_mj
    assert reason in allowed.reasons["energy"]


MISSION = Policy(mission_until="18:00", battery_capacity_wh=10.0, base_power_w=0.5)


@pytest.mark.parametrize(
    ("quantities", "expected", "reason"),
    [
        # 5 Wh less 0.5 W for six hours are 7200 J, for 216,000 frames.
        ({"time_of_day_s": NOON_S, "event_rate_hz": 10.0}, 100 / 3, "6.0 h and 216,000 frames"),
        ({"time_of_day_s": 0.0, "event_rate_hz": 10.0}, 0.0, "even without inference it will not"),
        ({"time_of_day_s": NOON_S, "event_rate_hz": 0.0}, None, "no frames come"),
        ({"event_rate_hz": 10.0}, None, "is not honoured yet: the clock is not synchronised"),
        ({"reasons": {"time_of_day_s": "not set since boot"}}, None, "is not honoured yet: not set since boot"),
        ({"time_of_day_s": NOON_S, "event_rate_hz": 10.0, "external_power": True}, None, "external power"),
    ],
)
def test_a_mission_shares_out_what_the_battery_holds(
    quantities: dict[str, object], expected: float | None, reason: str
) -> None:
    """What is left after the device's own draw is shared by the frames that come until then."""
    allowed = budgets(MISSION, given_context(battery_percent=50.0, **quantities), REFERENCE)
    assert allowed.energy_mj == (None if expected is None else pytest.approx(expected))
    assert reason in allowed.reasons["energy"]


def test_the_lower_of_two_energy_caps_holds() -> None:
    """A low battery caps energy even where the mission would leave more."""
    context = given_context(battery_percent=19.0, time_of_day_s=17.9 * 3600, event_rate_hz=1.0)
    allowed = budgets(MISSION, context, REFERENCE)
    assert allowed.energy_mj == 4.0
    assert "only 19 %" in allowed.reasons["energy"]


@pytest.mark.parametrize(
    ("quantities", "expected_ms", "reason"),
    [
        ({"deadline_us": 8000.0}, 8.0, "clients allow 8 ms"),
        ({"deadline_us": 80000.0}, 20.0, "policy asks for 20 ms"),
        ({"queue_depth": 3.0}, 5.0, "3 frames wait already"),
        ({"queue_depth": 3.0, "deadline_us": 8000.0}, 2.0, "within 8 ms"),
    ],
)
def test_what_clients_ask_and_who_waits_bind_latency(
    quantities: dict[str, object], expected_ms: float, reason: str
) -> None:
    """A deadline shorter than the policy's latency counts, and so do the frames in the queue."""
    allowed, told = latency_budget_us(Policy(), given_context(**quantities))
    assert allowed == pytest.approx(expected_ms * 1e3)
    assert reason in told
