from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from adaspring.context.model import Context
from adaspring.decide import PRESETS, Policy, TriggerPolicy, preset_policy, thermal_state, with_preset
from adaspring.errors import ConfigError


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"latency_p95_ms": 0.0}, "latency_p95_ms must be positive"),
        ({"search_deadline_ms": -1.0}, "search_deadline_ms must be positive"),
        ({"memory_share_percent": 120.0}, "memory_share_percent must lie above 0 and up to 100"),
        ({"low_battery_percent": -5.0}, "low_battery_percent must lie between 0 and 100"),
        ({"least_accuracy_percent": 101.0}, "least_accuracy_percent must lie between 0 and 100"),
        ({"lambda_energy_min": 1.5}, "lambda_energy_min must lie between 0 and 1"),
        ({"lambda_energy_min": float("nan")}, "lambda_energy_min must lie between 0 and 1"),
        ({"switching_cost": -0.1}, "switching_cost must not be negative"),
        ({"burst_headroom_percent": -1.0}, "burst_headroom_percent must not be negative"),
        ({"max_utilisation": 1.0}, "max_utilisation must lie between 0 and 1"),
        ({"lambda_energy_min": 0.8}, "unknown is never better than full"),
        (
            {"max_accuracy_loss_points": 20.0, "emergency_accuracy_loss_points": 15.0},
            "an emergency allows more loss, never less",
        ),
        ({"hot_temperature_c": 90.0}, r"critical_temperature_c \(80\) must be above hot_temperature_c \(90\)"),
        ({"late_percent": 0.0}, "late_percent must lie between 0.1 and 5"),
        ({"late_percent": 6.0}, "late_percent must lie between 0.1 and 5"),
        ({"emergency_utilisation": 0.7}, r"emergency_utilisation \(0.7\) must not be above max_utilisation \(0.6\)"),
        ({"emergency_utilisation": 0.0}, "emergency_utilisation must lie between 0 and 1"),
        ({"battery_capacity_wh": 0.0}, "battery_capacity_wh must be positive"),
        ({"mission_until": "18:00"}, "mission_until needs policy.battery_capacity_wh"),
        ({"mission_until": "24:00", "battery_capacity_wh": 10.0}, 'must be a time of day such as "18:00"'),
        ({"base_power_w": -1.0}, "base_power_w must not be negative"),
        ({"relaxation_order": ("energy", "latency", "memory")}, "relaxation_order must name each of"),
        ({"relaxation_order": ("energy", "energy", "latency", "memory")}, "relaxation_order must name each of"),
    ],
)
def test_a_policy_that_contradicts_itself_is_refused(keys: dict[str, object], message: str) -> None:
    """A policy that cannot be meant is refused with the key and what it must be."""
    with pytest.raises(ConfigError, match=message):
        Policy(**keys)  # type: ignore[arg-type]


@pytest.mark.parametrize("key", TriggerPolicy.__struct_fields__)
def test_times_and_steps_of_the_trigger_are_positive(key: str) -> None:
    """A trigger without a band or a dwell would never rest."""
    with pytest.raises(ConfigError, match=f"policy.trigger.{key} must be positive"):
        TriggerPolicy(**{key: 0.0})


def test_a_policy_comes_from_plain_data() -> None:
    """A table of a configuration file becomes a policy; what is not given keeps its default."""
    policy = msgspec.convert({"latency_p95_ms": 5.0, "trigger": {"min_dwell_s": 1.0}}, Policy)
    assert policy == Policy(latency_p95_ms=5.0, trigger=TriggerPolicy(min_dwell_s=1.0))


@pytest.mark.parametrize(
    ("quantities", "expected"),
    [
        ({}, "cool"),
        ({"temperature_c": 69.9, "throttled": False}, "cool"),
        ({"temperature_c": 70.0, "throttled": False}, "hot"),
        ({"temperature_c": 80.0}, "critical"),
        ({"temperature_c": 40.0, "throttled": True}, "critical"),
        ({"throttled": True}, "critical"),
        ({"temperature_c": 66.0, "temperature_rise_c_per_min": 10.0}, "hot"),
        ({"temperature_c": 66.0, "temperature_rise_c_per_min": -10.0}, "cool"),
        ({"temperature_c": 78.0, "temperature_rise_c_per_min": 60.0}, "hot"),
    ],
)
def test_thermal_states(quantities: dict[str, float | bool], expected: str) -> None:
    """Limits belong to the hotter side; throttling is critical at any temperature; a rise is foreseen."""
    assert expected == thermal_state(Policy(), Context(at_s=0.0, **quantities))  # type: ignore[arg-type]


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_a_policy_and_gives_way_to_what_is_given(preset: str) -> None:
    """A preset fills in what a table leaves out; a key of the table wins; the policy knows its name."""
    policy = msgspec.convert(with_preset({"preset": preset, "switching_cost": 0.5}), Policy)
    assert policy == preset_policy(preset, switching_cost=0.5)  # type: ignore[arg-type]
    assert policy.preset == preset
    assert policy.switching_cost == 0.5


def test_an_unknown_preset_is_refused_by_name() -> None:
    """The message lists those that there are."""
    with pytest.raises(ConfigError, match="preset must be one of balanced, endurance, latency, accuracy; it is 'fast'"):
        with_preset({"preset": "fast"})


@pytest.mark.parametrize(
    ("time_of_day_s", "left_h"), [(8.5 * 3600, 9.5), (18 * 3600 - 1, 1 / 3600), (18 * 3600, 24.0), (20 * 3600, 22.0)]
)
def test_a_mission_ends_when_the_clock_shows_it_next(time_of_day_s: float, left_h: float) -> None:
    """After its end the next day's begins."""
    policy = Policy(mission_until="18:00", battery_capacity_wh=10.0)
    assert policy.mission_left_s(time_of_day_s) == pytest.approx(left_h * 3600)
    assert Policy().mission_left_s(time_of_day_s) is None


@pytest.mark.parametrize("kind", [Policy, TriggerPolicy])
def test_every_key_is_documented_with_its_default(kind: type[msgspec.Struct], clone: Path) -> None:
    """The tables of ``docs/policy.md`` name each key and the default that it has."""
    rows = [line.split("|") for line in (clone / "docs/policy.md").read_text(encoding="utf-8").splitlines()]
    documented = {row[1].strip(" `"): row[3].strip() for row in rows if len(row) > 4}
    for field in msgspec.structs.fields(kind):
        if field.name == "trigger":
            continue
        default = "none" if field.default is None else field.default
        told = ", ".join(default) if isinstance(default, tuple) else str(default)
        assert told.removesuffix(".0") == documented[field.name]
