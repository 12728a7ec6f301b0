"""Readings and contexts: plain values, no I/O."""

from __future__ import annotations

from typing import Literal

import msgspec

#: ``"burst"``: much faster than in the last minute; ``"idle"``: nothing for a while.
EventState = Literal["idle", "steady", "burst"]


class Reading(msgspec.Struct, frozen=True):
    """What one sensor said, or why it said nothing.

    Attributes:
        value: In the unit that the name of the quantity ends in; None when absent.
        source: Where it was read, for example ``"thermal_zone0 (cpu-thermal)"``.
        reason: Why the value is None; empty otherwise.
        note: What to bear in mind of the value, for example that it is an estimate.
        age_s: How long ago it was read, in seconds; sensors that cost much are read seldom.
    """

    value: float | None
    source: str
    reason: str = ""
    note: str = ""
    age_s: float = 0.0


class Context(msgspec.Struct, frozen=True):
    """What the device is going through, smoothed.

    A quantity that no sensor gives is None, and `reasons` says why.

    Attributes:
        at_s: Monotonic clock, in seconds.
        battery_percent: Charge left, 0 to 100.
        external_power: Whether a supply other than the battery feeds the device.
        power_w: Power drawn by the device, in watts.
        temperature_c: Hottest zone of the processor, in degrees Celsius.
        temperature_rise_c_per_min: How fast it rises; negative while it falls.
        throttled: Whether the processor is slowed down for heat or undervoltage.
        memory_available_mib: Memory that can be had without swapping, in MiB.
        memory_pressure_percent: Share of the last 10 s in which some task waited for memory.
        cpu_percent: Load of all cores together, 0 to 100.
        event_rate_hz: Frames asked for per second.
        event_state: Whether events come as usual, much faster, or not at all; None as long as the rate is.
        latency_p95_us: 95th percentile of the compute of recent frames of the active subnet, in microseconds.
        queue_depth: Frames that wait.
        deadline_us: What most clients allow a frame: 95 of 100 recent frames with a deadline were given at least
            so long, in microseconds.
        time_of_day_s: Seconds since midnight by the local clock; None while it is not synchronised.
        reasons: Why a quantity is None, by its name.
        lost: Which of charge, temperature and available memory were known and are not any more, by name, with
            what they were last.
    """

    at_s: float
    battery_percent: float | None = None
    external_power: bool | None = None
    power_w: float | None = None
    temperature_c: float | None = None
    temperature_rise_c_per_min: float | None = None
    throttled: bool | None = None
    memory_available_mib: float | None = None
    memory_pressure_percent: float | None = None
    cpu_percent: float | None = None
    event_rate_hz: float | None = None
    event_state: EventState | None = None
    latency_p95_us: float | None = None
    queue_depth: float | None = None
    deadline_us: float | None = None
    time_of_day_s: float | None = None
    reasons: dict[str, str] = {}
    lost: dict[str, float] = {}
