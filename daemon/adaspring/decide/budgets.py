"""Context -> budgets: what the device can afford right now, and why."""

from __future__ import annotations

from math import inf

import msgspec

from adaspring.context.model import Context
from adaspring.decide.lateness import MOST_BUSY, Arrivals
from adaspring.decide.policy import (
    USUAL_LATE_PERCENT,
    Policy,
    ThermalState,
    foreseen_temperature_c,
    thermal_state,
    why_critical,
)
from adaspring.errors import ConfigError


class Reference(msgspec.Struct, frozen=True):
    """The full network, against which loss and energy are measured.

    Attributes:
        accuracy_percent: Its predicted accuracy.
        accuracy_span_points: What the smallest subnet loses against it: a loss of so much counts as one.
        energy_mj: Its energy for a frame, which counts as one.
    """

    accuracy_percent: float
    accuracy_span_points: float
    energy_mj: float


class Budgets(msgspec.Struct, frozen=True):
    """What a context allows.

    Attributes:
        lambda_energy: Importance of energy, 0 to 1.
        lambda_accuracy: Importance of accuracy; the two add up to one.
        accuracy_percent: Least accuracy.
        latency_p95_us: Most 95th percentile of compute.
        energy_mj: Most energy of a frame; None where there is no cap.
        memory_mib: Most memory of a subnet; None where available memory is unknown.
        reasons: Where each comes from, one sentence each: ``importance``, ``accuracy``,
            ``latency``, ``energy``, ``memory``.
    """

    lambda_energy: float
    lambda_accuracy: float
    accuracy_percent: float
    latency_p95_us: float
    energy_mj: float | None
    memory_mib: float | None
    reasons: dict[str, str]


def check_policy(policy: Policy, reference: Reference) -> None:
    """Refuse a policy that no subnet of a bundle can ever meet.

    Raises:
        ConfigError: With the figures.
    """
    least = policy.least_accuracy_percent
    if least is not None and least > reference.accuracy_percent:
        raise ConfigError(
            f"policy.least_accuracy_percent is {least:g}, but even the full network is predicted to reach only "
            f"{reference.accuracy_percent:.1f} %: lower it, or serve a better bundle"
        )


def budgets(policy: Policy, context: Context, reference: Reference, tail_ratio: float = 1.0) -> Budgets:
    """What a context allows under a policy.

    Args:
        policy: What is asked of the daemon.
        context: What the device is going through.
        reference: The full network.
        tail_ratio: 95th percentile of compute over that of the table, as frames told.
    """
    state = thermal_state(policy, context)
    lambda_energy, importance = _importance(policy, context, state)
    accuracy, accuracy_reason = _accuracy(policy, reference, state)
    latency, latency_reason = latency_budget_us(policy, context, tail_ratio)
    energy, energy_reason = _energy(policy, context, reference)
    memory, memory_reason = _memory(policy, context)
    return Budgets(
        lambda_energy=lambda_energy,
        lambda_accuracy=1.0 - lambda_energy,
        accuracy_percent=accuracy,
        latency_p95_us=latency,
        energy_mj=energy,
        memory_mib=memory,
        reasons={
            "importance": importance,
            "accuracy": accuracy_reason,
            "latency": latency_reason,
            "energy": energy_reason,
            "memory": memory_reason,
        },
    )


def latency_budget_us(policy: Policy, context: Context, tail_ratio: float = 1.0) -> tuple[float, str]:
    """Most compute of a frame at the 95th percentile, in microseconds, and why.

    A frame waits before it is computed. The budget is the compute with which no more frames than the policy lets are
    late, waiting included (`lateness`), and that keeps the engine within the greatest utilisation. In a burst the rate
    of frames is what is to come, not the smoothed one, which lags behind. Frames that wait already are computed first,
    so with n of them n + 1 computes must meet the latency asked for, too.

    Args:
        policy: What is asked of the daemon.
        context: What the device is going through.
        tail_ratio: 95th percentile of compute over that of the table, as frames told.
    """
    target, reason = latency_asked_s(policy, context)
    rate, events = planned_rate_hz(policy, context)
    most = policy.max_utilisation / rate if rate else inf
    allowed = Arrivals(rate or 0.0, tail_ratio).compute_within_s(target, policy.late_percent / 100, most)
    if rate is None:
        reason += "; the event rate is unknown, so no time is set aside for waiting"
    elif allowed >= most:
        reason = f"at {events} the engine may be busy {policy.max_utilisation:.0%} of the time"
    elif rate > 0:
        reason += f", less the wait expected at {events}"
    waiting = context.queue_depth or 0.0
    if target / (waiting + 1) < allowed:
        allowed = target / (waiting + 1)
        reason = f"{waiting:.3g} frames wait already and have to be computed within {target * 1e3:.3g} ms as well"
    return allowed * 1e6, f"{allowed * 1e3:.3g} ms: {reason}"


def asked_in_the_mean_s(policy: Policy, context: Context, tail_ratio: float) -> float:
    """What compute and mean wait of a model together must meet so that its frames are late as seldom as asked.

    Several models are held against the mean wait behind all of them (`demands`), which adds up. For frames of the
    model alone this is the same limit as `latency_budget_us` gives; behind frames of others it is near to it.

    Args:
        policy: What is asked of the model.
        context: What the device is going through, with the frames of the model.
        tail_ratio: 95th percentile of its compute over that of the table, as frames told.

    Returns:
        Seconds.
    """
    asked, _ = latency_asked_s(policy, context)
    rate = planned_rate_hz(policy, context)[0] or 0.0
    most = MOST_BUSY / rate if rate else inf
    compute = Arrivals(rate, tail_ratio).compute_within_s(asked, policy.late_percent / 100, most)
    return compute + rate * compute**2 / (2 * (1 - rate * compute))


def planned_rate_hz(policy: Policy, context: Context) -> tuple[float | None, str]:
    """Frames a second to plan for, and how to say it; None where the rate is unknown."""
    rate = context.event_rate_hz
    if rate is None or context.event_state != "burst":
        return rate, f"{rate or 0.0:.3g} events a second"
    planned = rate * (1 + policy.burst_headroom_percent / 100)
    return planned, f"{planned:.3g} events a second, {policy.burst_headroom_percent:g} % more than come, for a burst"


def latency_asked_s(policy: Policy, context: Context) -> tuple[float, str]:
    """In which frames are to be answered, all but the share that may be late, in seconds, and why."""
    deadline_us = context.deadline_us
    if deadline_us is not None and deadline_us < policy.latency_p95_ms * 1e3:
        asked, reason = deadline_us * 1e-6, f"clients allow {deadline_us / 1e3:.3g} ms"
    else:
        asked, reason = policy.latency_p95_ms * 1e-3, f"policy asks for {policy.latency_p95_ms:g} ms"
    if policy.late_percent != USUAL_LATE_PERCENT:
        reason += f" of all but {policy.late_percent:g} of 100 frames"
    if thermal_state(policy, context) != "cool":
        asked *= policy.hot_latency_percent / 100
        reason += f", {policy.hot_latency_percent:g} % of it when hot"
    return asked, reason


def _importance(policy: Policy, context: Context, state: ThermalState) -> tuple[float, str]:
    charge = context.battery_percent
    if context.external_power:
        importance, reason = policy.lambda_energy_min, "external power, so energy counts least"
    elif charge is None:
        why = context.reasons.get("battery_percent", "no sensor gives it")
        importance, counts = policy.lambda_energy_unknown, "a middle value"
        last = context.lost.get("battery_percent", 100.0)
        if 1.0 - last / 100 > importance:
            # It is no fuller for not being known.
            importance, counts = 1.0 - last / 100, f"the {last:.0f} % of before"
        reason = f"the battery's charge is unknown ({why}), so {counts}"
    else:
        importance = max(policy.lambda_energy_min, 1.0 - charge / 100)
        reason = f"{charge:.0f} % of the battery left"
    if state == "critical":
        return 1.0, f"1: {why_critical(context)}, so only energy counts"
    foreseen = foreseen_temperature_c(policy, context)
    if state == "hot" and foreseen is not None:
        importance += (1.0 - importance) * _heat(policy, foreseen)
        within = "" if foreseen == context.temperature_c else f", to be expected within {policy.thermal_horizon_s:g} s,"
        reason += f", raised because {foreseen:.0f} °C{within} is hot"
    elif state == "hot":
        # It may be anything between the two limits; that it was beyond their middle is not forgotten.
        importance += (1.0 - importance) * max(0.5, _heat(policy, context.lost["temperature_c"]))
        reason += f", raised because the temperature is not known any more ({context.reasons.get('temperature_c')})"
    return importance, f"{importance:.2f}: {reason}"


def _heat(policy: Policy, temperature_c: float) -> float:
    """Where a temperature lies between hot, 0, and critical, 1."""
    span = policy.critical_temperature_c - policy.hot_temperature_c
    return min(1.0, (temperature_c - policy.hot_temperature_c) / span)


def _accuracy(policy: Policy, reference: Reference, state: ThermalState) -> tuple[float, str]:
    critical = state == "critical"
    loss = policy.emergency_accuracy_loss_points if critical else policy.max_accuracy_loss_points
    least = reference.accuracy_percent - loss
    reason = f"at most {loss:g} points below the full network" + (" in an emergency" if critical else "")
    if policy.least_accuracy_percent is not None and policy.least_accuracy_percent > least:
        least, reason = policy.least_accuracy_percent, "policy names it as the least"
    return least, f"{least:.1f} %: {reason}"


def _energy(policy: Policy, context: Context, reference: Reference) -> tuple[float | None, str]:
    if context.external_power:
        return None, "no cap: external power"
    charge, when = context.battery_percent, ""
    if charge is None:
        charge, when = context.lost.get("battery_percent"), " when it was last known"
    if charge is None:
        return None, "no cap: the battery's charge is unknown"
    mission, why_mission = _mission_cap_mj(policy, context, charge)
    if charge >= policy.low_battery_percent:
        cap, reason = None, f"no cap: {charge:.0f} % of the battery left{when}"
    else:
        cap = reference.energy_mj * policy.low_battery_energy_percent / 100
        share = f"{policy.low_battery_energy_percent:g} % of the full network's energy"
        reason = f"{cap:.3g} mJ: {share}, as only {charge:.0f} % of the battery is left{when}"
    if mission is None:
        return cap, f"{reason}; {why_mission}" if why_mission else reason
    return (mission, why_mission) if cap is None or mission < cap else (cap, reason)


def _mission_cap_mj(policy: Policy, context: Context, charge_percent: float) -> tuple[float | None, str]:
    """What a frame may take if the battery is to last as long as it has to; None where nothing can be said."""
    until, capacity_wh = policy.mission_until, policy.battery_capacity_wh
    if until is None or capacity_wh is None:
        return None, ""
    if context.time_of_day_s is None:
        why = context.reasons.get("time_of_day_s", "the clock is not synchronised")
        return None, f"the mission until {until} is not honoured yet: {why}"
    left_s = policy.mission_left_s(context.time_of_day_s) or 0.0
    if not context.event_rate_hz:
        return None, f"no frames come, so none need be saved for {until}"
    spare_j = charge_percent / 100 * capacity_wh * 3600 - policy.base_power_w * left_s
    frames = context.event_rate_hz * left_s
    cap = max(0.0, spare_j) / frames * 1e3
    told = f"the battery has to last until {until}, {left_s / 3600:.1f} h and {frames:,.0f} frames at this rate"
    return cap, f"{cap:.3g} mJ: {told}" + ("" if spare_j > 0 else "; even without inference it will not")


def _memory(policy: Policy, context: Context) -> tuple[float | None, str]:
    share, pressure = policy.memory_share_percent, context.memory_pressure_percent
    available, reason = context.memory_available_mib, ""
    why = context.reasons.get("memory_available_mib", "available memory is unknown")
    if available is None:
        available = context.lost.get("memory_available_mib")
        reason = f" when it was last known, halved as it is not any more ({why})"
    elif pressure is not None and pressure > policy.memory_pressure_percent:
        reason = f", halved as tasks wait for memory {pressure:.0f} % of the time"
    if available is None:
        return None, f"no limit: {why}"
    if reason:
        share /= 2
    limit = available * share / 100
    return limit, f"{limit:.3g} MiB: {share:g} % of {available:.0f} MiB available{reason}"
