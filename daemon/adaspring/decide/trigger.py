"""The trigger: when is it worth deciding anew?

A context is compared with the one of the last decision. Each quantity has a band
within which it is noise, decisions keep a least distance in time, and an emergency
ends only after a while of calm, so that no sequence of readings, however hostile,
makes the daemon flip-flop: in any window of t seconds there are at most
``t / min_dwell_s + 1`` ordinary decisions and ``t / recovery_s + 1`` emergencies.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from adaspring.context.model import Context
from adaspring.decide.budgets import Budgets
from adaspring.decide.policy import Policy, foreseen_temperature_c, thermal_state, why_critical

CauseKind = Literal[
    "start", "emergency", "recovery", "power", "sensor", "latency", "battery",
    "temperature", "memory", "event_rate", "deadline", "queue", "periodic", "operator", "tables",
]  # fmt: skip

#: A latency over budget that the last decision could not mend is tried again after so many dwells.
RETRY_DWELLS = 4
#: Below this, event rates are alike: a frame every ten seconds loads nothing.
LEAST_EVENT_RATE_HZ = 0.1
#: Sensors whose coming and going changes the budgets.
_WATCHED = ("battery_percent", "temperature_c", "memory_available_mib")


class Cause(msgspec.Struct, frozen=True):
    """Why a decision was made.

    Attributes:
        kind: What to count it under; ``operator`` when a person asked, ``tables`` when other tables came.
        sentence: With figures, for a person.
    """

    kind: CauseKind
    sentence: str


class Trigger:
    """Compares contexts with that of the last decision."""

    def __init__(self, policy: Policy) -> None:
        """Start without a decision: the first context is a cause."""
        self._policy = policy
        self._bands = policy.trigger
        self._last: Context | None = None
        self._latency_budget_us = 0.0
        self._decided_s = 0.0
        self._calm_since_s: float | None = None

    @property
    def emergency(self) -> bool:
        """Whether the last decision was made in an emergency that has not ended since."""
        return self._last is not None and thermal_state(self._policy, self._last) == "critical"

    def decided(self, context: Context, budgets: Budgets, now_s: float) -> None:
        """Remember a decision, made for whatever cause.

        Args:
            context: What it was based on.
            budgets: What it allowed.
            now_s: When, on the monotonic clock, in seconds.
        """
        self._last = context
        self._latency_budget_us = budgets.latency_p95_us
        self._decided_s = now_s
        self._calm_since_s = None

    def check(self, context: Context, now_s: float) -> Cause | None:
        """Why to decide now, or None.

        Args:
            context: The latest.
            now_s: Now, on the monotonic clock, in seconds.
        """
        if self._last is None:
            return Cause("start", "the first decision")
        if self.emergency:
            return self._recovered(context, now_s)
        if thermal_state(self._policy, context) == "critical":
            return Cause("emergency", why_critical(context))
        waited = now_s - self._decided_s
        if waited < self._bands.min_dwell_s:
            return None
        return next(self._changes(self._last, context, waited), None)

    def _recovered(self, context: Context, now_s: float) -> Cause | None:
        limit = self._policy.critical_temperature_c - self._bands.temperature_step_c
        if context.throttled or (context.temperature_c is not None and context.temperature_c >= limit):
            self._calm_since_s = None
            return None
        if self._calm_since_s is None:
            self._calm_since_s = now_s
        calm = now_s - self._calm_since_s
        if calm < self._bands.recovery_s or now_s - self._decided_s < self._bands.min_dwell_s:
            return None
        return Cause("recovery", f"calm for {calm:.0f} s after an emergency")

    def _changes(self, last: Context, context: Context, waited: float) -> Iterator[Cause]:
        bands = self._bands
        if last.external_power != context.external_power:
            yield Cause("power", f"external power: {_told(last.external_power)}, now {_told(context.external_power)}")
        yield from self._late(last, context, waited)
        for name in _WATCHED:
            was, is_now = getattr(last, name), getattr(context, name)
            if (was is None) != (is_now is None):
                what = f"is gone: {context.reasons.get(name, 'no reason known')}" if is_now is None else "can be read"
                yield Cause("sensor", f"{name} {what}")
        before, now = _both(last.battery_percent, context.battery_percent)
        if abs(now - before) >= bands.battery_step_points:
            yield Cause("battery", f"battery went from {before:.0f} to {now:.0f} %")
        yield from self._warmer_or_cooler(last, context)
        before, now = _both(last.memory_available_mib, context.memory_available_mib)
        if abs(now - before) > before * bands.memory_step_percent / 100:
            yield Cause("memory", f"available memory went from {before:.0f} to {now:.0f} MiB")
        yield from self._faster_or_slower(last, context)
        yield from self._asked_for(last, context)
        if waited >= bands.period_s:
            yield Cause("periodic", f"{waited:.0f} s since the last decision")

    def _warmer_or_cooler(self, last: Context, context: Context) -> Iterator[Cause]:
        policy = self._policy
        before, now = _both(foreseen_temperature_c(policy, last), foreseen_temperature_c(policy, context))
        # Below the limit and staying there, warmth changes no budget.
        if max(before, now) < policy.hot_temperature_c or abs(now - before) < self._bands.temperature_step_c:
            return
        is_now = context.temperature_c or 0.0
        sentence = f"temperature went from {before:.0f} to {now:.0f} °C"
        if now > is_now:
            sentence = (
                f"at {is_now:.0f} °C and rising, {now:.0f} °C are to be expected in {policy.thermal_horizon_s:g} s"
            )
        yield Cause("temperature", sentence)

    def _faster_or_slower(self, last: Context, context: Context) -> Iterator[Cause]:
        # A rate takes two looks, so the first decision of all is made without one.
        before, now = last.event_rate_hz or 0.0, context.event_rate_hz or 0.0
        was_burst, is_burst = last.event_state == "burst", context.event_state == "burst"
        if was_burst is not is_burst:
            yield Cause("event_rate", f"a burst {'began' if is_burst else 'is over'}, at {now:.3g} events a second")
        # What comes in clumps comes again: a lull within a burst is none.
        if is_burst and now < before:
            return
        slow, fast = sorted((max(before, LEAST_EVENT_RATE_HZ), max(now, LEAST_EVENT_RATE_HZ)))
        if fast > slow * (1 + self._bands.event_rate_step_percent / 100):
            yield Cause("event_rate", f"events went from {before:.3g} to {now:.3g} a second")

    def _asked_for(self, last: Context, context: Context) -> Iterator[Cause]:
        step = 1 + self._bands.event_rate_step_percent / 100
        most_us = self._policy.latency_p95_ms * 1e3
        # Deadlines beyond what the policy asks for anyway change nothing.
        before, now = (min(each.deadline_us or most_us, most_us) for each in (last, context))
        if max(before, now) > min(before, now) * step:
            yield Cause("deadline", f"clients allow {now / 1e3:.3g} ms where they allowed {before / 1e3:.3g}")
        before, now = last.queue_depth or 0.0, context.queue_depth or 0.0
        if max(before, now) + 1 > (min(before, now) + 1) * step:
            yield Cause("queue", f"{now:.3g} frames wait where {before:.3g} did")

    def _late(self, last: Context, context: Context, waited: float) -> Iterator[Cause]:
        measured = context.latency_p95_us
        budget = self._latency_budget_us
        slack = 1 + self._bands.latency_slack_percent / 100
        if measured is None or measured <= budget * slack:
            return
        # Known to the last decision and no worse since: deciding again at once would not help.
        known = last.latency_p95_us is not None and last.latency_p95_us * slack >= measured
        if not known or waited >= RETRY_DWELLS * self._bands.min_dwell_s:
            yield Cause("latency", f"frames take {measured / 1e3:.3g} ms, over the budget of {budget / 1e3:.3g} ms")


def _both(before: float | None, now: float | None) -> tuple[float, float]:
    """Two readings to compare; no change where one is missing."""
    return (0.0, 0.0) if before is None or now is None else (before, now)


def _told(power: bool | None) -> str:  # noqa: FBT001 - a reading, not a switch
    return {True: "on", False: "off", None: "unknown"}[power]
