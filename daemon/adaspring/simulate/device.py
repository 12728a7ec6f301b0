"""A simulated device: it drains, heats up and throttles as the day goes on."""

from __future__ import annotations

import msgspec
import numpy as np

from adaspring.simulate.physics import HOUR_S, STEP_S, Bodies, Physics
from adaspring.simulate.scenario import Scenario


class DayState(msgspec.Struct, frozen=True):
    """The device at one moment of the day.

    Attributes:
        time_s: Time of day, in seconds since midnight.
        activity: Name of what goes on.
        events_hz: Frames that a client should stream, per second of real time.
        load: Cores kept busy.
        cpu_percent: Load of all cores together, 0 to 100.
        battery_percent: Charge left.
        plugged: Whether the supply is connected.
        current_ma: Into the battery; negative while it drains.
        voltage_v: Of the battery.
        capacity_mah: Of the full battery.
        ambient_c: Temperature around the device.
        temperature_c: Of the processor.
        throttled: Whether the clock is lowered for heat.
        clock_mhz: Clock that the processor may run at.
        full_clock_mhz: The same when it is not throttled.
        memory_total_mib: Memory of the device.
        memory_available_mib: What of it can be had.
        memory_pressure_percent: Share of the time in which some task waits for memory.
        cores: Cores of the device.
        power_w: What the whole device draws.
        undervoltage: Whether its supply is too low.
        undervoltage_ever: The same since the begin of the day.
        throttled_ever: Whether it was throttled since then.
        over_current_events: How often the supply has dipped since then.
        vanished: Patterns of the files that are not there now.
    """

    time_s: float
    activity: str
    events_hz: float
    load: float
    cpu_percent: float
    battery_percent: float
    plugged: bool
    current_ma: float
    voltage_v: float
    capacity_mah: float
    ambient_c: float
    temperature_c: float
    throttled: bool
    clock_mhz: float
    full_clock_mhz: float
    memory_total_mib: float
    memory_available_mib: float
    memory_pressure_percent: float
    cores: int
    power_w: float = 0.0
    undervoltage: bool = False
    undervoltage_ever: bool = False
    throttled_ever: bool = False
    over_current_events: int = 0
    vanished: tuple[str, ...] = ()


class SimulatedDevice:
    """A device in a scenario, walked forward in time."""

    def __init__(self, scenario: Scenario) -> None:
        """Stand at the begin of the span, in thermal balance."""
        self._physics = Physics(scenario)
        self._span = scenario.span
        self._steps = 0
        self._body = self._physics.begin(1)
        self._throttled_ever = False
        self._own_load = 0.0

    @property
    def time_s(self) -> float:
        """Time of day that has been computed, in seconds since midnight."""
        return self._span.from_h * HOUR_S + self._steps * STEP_S

    def advance_to(self, time_s: float, *, own_load: float = 0.0) -> DayState:
        """Walk to a time of day; one that has passed already, or lies behind the span, changes nothing.

        Args:
            time_s: In seconds since midnight.
            own_load: Cores that something real keeps busy meanwhile, on top of the scenario's load.

        Returns:
            The state at the last step of the model up to that time.
        """
        self._own_load = own_load
        end_s = min(time_s, self._span.to_h * HOUR_S)
        while self.time_s + STEP_S <= end_s:
            self._body = self._physics.step(self.time_s / HOUR_S, self._body, np.array([own_load]))
            self._throttled_ever |= bool(self._body.throttled[0])
            self._steps += 1
        return self.state()

    def state(self) -> DayState:
        """The device as it is now."""
        return state_of(
            self._physics, self.time_s, self._body, own_load=self._own_load, throttled_ever=self._throttled_ever
        )


def state_of(physics: Physics, time_s: float, bodies: Bodies, *, own_load: float, throttled_ever: bool) -> DayState:
    """One of some devices at a moment of its day.

    Args:
        physics: Of the day.
        time_s: Time of day, in seconds since midnight.
        bodies: The devices; the first counts.
        own_load: Cores that it keeps busy besides the scenario's load.
        throttled_ever: Whether it was throttled since the begin of the day.
    """
    scenario, hour = physics.scenario, time_s / HOUR_S
    battery, thermal = scenario.battery, scenario.thermal
    percent, throttled = float(bodies.battery_percent[0]), bool(bodies.throttled[0])
    loads = physics.load(hour, np.array([own_load]))
    activity, load = physics.activity(hour), float(loads[0])
    available_mib, pressure_percent = physics.memory(hour)
    current_ma = float(physics.battery_rate(hour, bodies.battery_percent[:1], loads)[0]) / 100 * battery.capacity_mah
    voltage_v = battery.empty_v + (battery.full_v - battery.empty_v) * percent / 100
    dips = sum(dip.from_h <= hour for dip in scenario.dips)
    return DayState(
        time_s=time_s,
        activity=activity.name,
        events_hz=activity.events_hz,
        load=load,
        cpu_percent=100 * load / scenario.cores,
        battery_percent=percent,
        plugged=physics.plugged(hour),
        current_ma=current_ma,
        voltage_v=voltage_v,
        capacity_mah=battery.capacity_mah,
        ambient_c=physics.ambient_c(hour),
        temperature_c=float(bodies.temperature_c[0]),
        throttled=throttled,
        clock_mhz=float(physics.clock_mhz(hour, bodies.throttled[:1])[0]),
        full_clock_mhz=thermal.clock_mhz,
        memory_total_mib=scenario.memory.total_mib,
        memory_available_mib=available_mib,
        memory_pressure_percent=pressure_percent,
        cores=scenario.cores,
        power_w=scenario.power.at(load) if scenario.power else max(-current_ma, 0.0) * voltage_v / 1e3,
        undervoltage=physics.undervoltage(hour),
        undervoltage_ever=dips > 0,
        throttled_ever=throttled_ever,
        over_current_events=dips,
        vanished=tuple(gap.files for gap in scenario.vanish if gap.from_h <= hour < gap.to_h),
    )
