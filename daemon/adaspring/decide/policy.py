"""The policy: what a person asks of the daemon, as ``[policy]`` of its configuration.

`docs/policy.md` explains every key and why its default is what it is.
"""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

import msgspec

from adaspring.context.model import Context
from adaspring.decide.problem import QUANTITIES, Quantity
from adaspring.errors import ConfigError

#: How hot the device is by the limits of a policy; ``critical`` counts throttling as well.
ThermalState: TypeAlias = Literal["cool", "hot", "critical"]
#: Names of the policies in `decide.presets`.
Preset: TypeAlias = Literal["balanced", "endurance", "latency", "accuracy"]

_TIME_OF_DAY = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")


DAY_S = 86_400.0

#: Frames of a hundred that may be late unless a policy says otherwise: the 95th percentile is bound.
USUAL_LATE_PERCENT = 5.0
#: Between these it lies: of fewer no tail that was learned tells; who can bear more gives a longer latency.
LATE_PERCENT_RANGE = (0.1, USUAL_LATE_PERCENT)

#: What feeds the device: boards run other clocks on a battery than on mains.
PowerMode: TypeAlias = Literal["mains", "battery", "unknown"]


def _require(holds: bool, message: str) -> None:  # noqa: FBT001 - reads as a sentence at every call
    if not holds:
        raise ConfigError(message)


class TriggerPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When to decide anew.

    Attributes:
        min_dwell_s: Least time between two decisions, emergencies apart, in seconds.
        period_s: A decision is due after this time even if nothing changed, in seconds.
        recovery_s: An emergency is over after so many calm seconds in a row.
        battery_step_points: Change of charge that counts, in points.
        temperature_step_c: Change of temperature that counts, and by how much it must
            fall below a limit to count as below again, in degrees.
        memory_step_percent: Change of available memory that counts.
        event_rate_step_percent: Change of the event rate that counts, up or down.
        latency_slack_percent: How far measured latency may exceed its budget.
    """

    min_dwell_s: float = 5.0
    period_s: float = 60.0
    recovery_s: float = 30.0
    battery_step_points: float = 5.0
    temperature_step_c: float = 3.0
    memory_step_percent: float = 25.0
    event_rate_step_percent: float = 50.0
    latency_slack_percent: float = 10.0

    def __post_init__(self) -> None:
        """Refuse a time or a step that is not positive."""
        for key in self.__struct_fields__:
            _require(getattr(self, key) > 0, f"policy.trigger.{key} must be positive")


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the daemon trades against what, and where it must not go.

    Attributes:
        preset: What the keys that were not given are taken from (`decide.presets`).
        latency_p95_ms: Latency that 95 of 100 frames meet, waiting included, in milliseconds.
        late_percent: Frames of a hundred that may take longer than that, where other than five.
        max_utilisation: Share of time that the engine may be busy, so that queues stay short.
        burst_headroom_percent: By how much more events are planned for while they come in a burst.
        max_accuracy_loss_points: What accuracy may lose against the full network, in points.
        emergency_accuracy_loss_points: The same while throttled or at critical temperature.
        least_accuracy_percent: Accuracy never to go below, whatever the full network has.
        memory_share_percent: Share of available memory that a subnet may take.
        memory_pressure_percent: Pressure above which that share is halved.
        lambda_energy_min: Importance of energy at full charge or on external power, 0 to 1.
        lambda_energy_unknown: Importance of energy when the charge is unknown, 0 to 1.
        low_battery_percent: Charge below which energy per frame is capped.
        low_battery_energy_percent: The cap, as a share of the full network's energy.
        hot_temperature_c: From here on energy gains importance, in degrees Celsius.
        critical_temperature_c: From here on the strongest compression is taken.
        hot_latency_percent: Share of the latency budget that remains when hot.
        thermal_horizon_s: How far ahead the temperature is foreseen from its rise, in seconds.
        emergency_utilisation: Share of time that the engine may be busy in an emergency; what comes
            on top of it is turned away.
        mission_until: Until when the battery has to last, by the local clock, as ``"18:00"``.
        battery_capacity_wh: Energy of the full battery, in watt-hours; a mission needs it.
        base_power_w: What the device draws besides inference, in watts.
        switching_cost: By how much the objective must improve to leave the running subnet.
        relaxation_order: Which budget gives way first when not all can be met.
        search_deadline_ms: When the search answers with the best so far, in milliseconds.
        trigger: When to decide anew.
    """

    preset: Preset = "balanced"
    latency_p95_ms: float = 20.0
    late_percent: float = USUAL_LATE_PERCENT
    max_utilisation: float = 0.6
    burst_headroom_percent: float = 50.0
    max_accuracy_loss_points: float = 5.0
    emergency_accuracy_loss_points: float = 100.0
    least_accuracy_percent: float | None = None
    memory_share_percent: float = 25.0
    memory_pressure_percent: float = 10.0
    lambda_energy_min: float = 0.3
    lambda_energy_unknown: float = 0.65
    low_battery_percent: float = 20.0
    low_battery_energy_percent: float = 50.0
    hot_temperature_c: float = 70.0
    critical_temperature_c: float = 80.0
    hot_latency_percent: float = 80.0
    thermal_horizon_s: float = 30.0
    emergency_utilisation: float = 0.2
    mission_until: str | None = None
    battery_capacity_wh: float | None = None
    base_power_w: float = 0.0
    switching_cost: float = 0.005
    relaxation_order: tuple[Quantity, ...] = ("energy", "accuracy", "latency", "memory")
    search_deadline_ms: float = 3.0
    trigger: TriggerPolicy = TriggerPolicy()

    def __post_init__(self) -> None:
        """Refuse what contradicts itself.

        Raises:
            ConfigError: With the key and what it must be.
        """
        for key in ("latency_p95_ms", "search_deadline_ms"):
            _require(getattr(self, key) > 0, f"policy.{key} must be positive")
        least, most = LATE_PERCENT_RANGE
        _require(least <= self.late_percent <= most, f"policy.late_percent must lie between {least:g} and {most:g}")
        for key in ("memory_share_percent", "low_battery_energy_percent", "hot_latency_percent"):
            _require(0 < getattr(self, key) <= 100, f"policy.{key} must lie above 0 and up to 100")  # noqa: PLR2004 - percent
        for key in ("memory_pressure_percent", "low_battery_percent", "least_accuracy_percent"):
            value = getattr(self, key)
            _require(value is None or 0 <= value <= 100, f"policy.{key} must lie between 0 and 100")  # noqa: PLR2004 - percent
        for key in ("lambda_energy_min", "lambda_energy_unknown"):
            _require(0 <= getattr(self, key) <= 1, f"policy.{key} must lie between 0 and 1")
        for key in (
            "burst_headroom_percent",
            "max_accuracy_loss_points",
            "switching_cost",
            "thermal_horizon_s",
            "base_power_w",
        ):
            _require(getattr(self, key) >= 0, f"policy.{key} must not be negative")
        for key in ("max_utilisation", "emergency_utilisation"):
            _require(0 < getattr(self, key) < 1, f"policy.{key} must lie between 0 and 1")
        _require(
            self.emergency_utilisation <= self.max_utilisation,
            f"policy.emergency_utilisation ({self.emergency_utilisation:g}) must not be above max_utilisation "
            f"({self.max_utilisation:g}): an emergency allows less load, never more",
        )
        self._check_mission()
        _require(
            self.lambda_energy_unknown >= self.lambda_energy_min,
            "policy.lambda_energy_unknown must not be below lambda_energy_min: unknown is never better than full",
        )
        _require(
            self.emergency_accuracy_loss_points >= self.max_accuracy_loss_points,
            "policy.emergency_accuracy_loss_points must not be below max_accuracy_loss_points: "
            "an emergency allows more loss, never less",
        )
        _require(
            self.critical_temperature_c > self.hot_temperature_c,
            f"policy.critical_temperature_c ({self.critical_temperature_c:g}) must be above "
            f"hot_temperature_c ({self.hot_temperature_c:g})",
        )
        _require(
            sorted(self.relaxation_order) == sorted(QUANTITIES),
            f"policy.relaxation_order must name each of {', '.join(QUANTITIES)} once",
        )

    def _check_mission(self) -> None:
        until, capacity = self.mission_until, self.battery_capacity_wh
        _require(capacity is None or capacity > 0, "policy.battery_capacity_wh must be positive")
        if until is None:
            return
        _require(
            _TIME_OF_DAY.fullmatch(until) is not None,
            f'policy.mission_until must be a time of day such as "18:00"; it is {until!r}',
        )
        _require(
            capacity is not None,
            "policy.mission_until needs policy.battery_capacity_wh: without it nobody can tell how long a charge lasts",
        )

    def mission_left_s(self, time_of_day_s: float) -> float | None:
        """Seconds from a local time of day until the mission ends, at most a day; None without a mission."""
        match = _TIME_OF_DAY.fullmatch(self.mission_until or "")
        if match is None:
            return None
        until_s = 3600.0 * int(match[1]) + 60.0 * int(match[2])
        return (until_s - time_of_day_s) % DAY_S or DAY_S


def foreseen_temperature_c(policy: Policy, context: Context) -> float | None:
    """The temperature at the end of the horizon if it goes on rising as it does; never below what it is."""
    rise = context.temperature_rise_c_per_min
    if context.temperature_c is None or rise is None:
        return context.temperature_c
    return context.temperature_c + max(0.0, rise) * policy.thermal_horizon_s / 60


def thermal_state(policy: Policy, context: Context) -> ThermalState:
    """How hot a context is; what no sensor ever told counts as cool, and what none tells any more as hot.

    Hot is also what is about to become hot. Critical is only what is: a forecast is no emergency.
    """
    temperature, foreseen = context.temperature_c, foreseen_temperature_c(policy, context)
    if context.throttled or (temperature is not None and temperature >= policy.critical_temperature_c):
        return "critical"
    if foreseen is None:
        return "hot" if "temperature_c" in context.lost else "cool"
    return "hot" if foreseen >= policy.hot_temperature_c else "cool"


def power_mode(context: Context) -> PowerMode:
    """What feeds the device in a context."""
    if context.external_power is None:
        return "unknown"
    return "mains" if context.external_power else "battery"


def why_critical(context: Context) -> str:
    """What makes a context critical, for a person."""
    return "the processor is throttled" if context.throttled else f"{context.temperature_c:.0f} °C is critical"
