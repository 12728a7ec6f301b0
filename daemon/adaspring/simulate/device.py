"""The physics of a scenario: a device that drains, heats up and throttles as the day goes on."""

from __future__ import annotations

from bisect import bisect_right
from math import exp, pi, sin

import msgspec
import numpy as np

from adaspring.simulate.scenario import Activity, MemoryShortage, Period, Scenario

#: Step of the model, in seconds of the day. The day is computed on this grid however it is
#: walked, so it is the same day in 20 s and in 60 s.
STEP_S = 10.0
_HOUR_S = 3600.0
#: Relative size of the fluctuations of load and memory.
_FLUCTUATION = 0.1
#: Their periods, in hours: no multiples of each other, so that they do not repeat in a day.
_PERIODS_H = (0.11, 0.37, 1.3)


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
        self._scenario = scenario
        phases = np.random.default_rng(scenario.seed).uniform(0, 2 * pi, size=len(_PERIODS_H)).tolist()
        self._waves = tuple(zip(_PERIODS_H, phases, strict=True))
        self._starts_h = [activity.from_h for activity in scenario.activity]
        self._ambient = np.array(scenario.thermal.ambient)
        self._steps = 0
        self._battery_percent = scenario.battery.start_percent
        self._throttled = False
        self._throttled_ever = False
        self._own_load = 0.0
        self._temperature_c = self._balance_c(scenario.span.from_h)

    @property
    def time_s(self) -> float:
        """Time of day that has been computed, in seconds since midnight."""
        return self._scenario.span.from_h * _HOUR_S + self._steps * STEP_S

    def advance_to(self, time_s: float, *, own_load: float = 0.0) -> DayState:
        """Walk to a time of day; one that has passed already, or lies behind the span, changes nothing.

        Args:
            time_s: In seconds since midnight.
            own_load: Cores that something real keeps busy meanwhile, on top of the scenario's load.

        Returns:
            The state at the last step of the model up to that time.
        """
        self._own_load = own_load
        end_s = min(time_s, self._scenario.span.to_h * _HOUR_S)
        while self.time_s + STEP_S <= end_s:
            self._step()
        return self.state()

    def state(self) -> DayState:
        """The device as it is now."""
        scenario, hour = self._scenario, self.time_s / _HOUR_S
        battery, thermal = scenario.battery, scenario.thermal
        activity, load = self._activity(hour), self._load(hour)
        available_mib, pressure_percent = self._memory(hour)
        undervoltage = _is_in(scenario.dips, hour)
        slowed = self._throttled or undervoltage
        current_ma = self._battery_rate(hour) / 100 * battery.capacity_mah
        voltage_v = battery.empty_v + (battery.full_v - battery.empty_v) * self._battery_percent / 100
        dips = sum(dip.from_h <= hour for dip in scenario.dips)
        return DayState(
            time_s=self.time_s,
            activity=activity.name,
            events_hz=activity.events_hz,
            load=load,
            cpu_percent=100 * load / scenario.cores,
            battery_percent=self._battery_percent,
            plugged=_is_in(battery.plugged, hour),
            current_ma=current_ma,
            voltage_v=voltage_v,
            capacity_mah=battery.capacity_mah,
            ambient_c=self._ambient_c(hour),
            temperature_c=self._temperature_c,
            throttled=self._throttled,
            clock_mhz=thermal.throttled_mhz if slowed else thermal.clock_mhz,
            full_clock_mhz=thermal.clock_mhz,
            memory_total_mib=scenario.memory.total_mib,
            memory_available_mib=available_mib,
            memory_pressure_percent=pressure_percent,
            cores=scenario.cores,
            power_w=scenario.power.at(load) if scenario.power else max(-current_ma, 0.0) * voltage_v / 1e3,
            undervoltage=undervoltage,
            undervoltage_ever=dips > 0,
            throttled_ever=self._throttled_ever,
            over_current_events=dips,
            vanished=tuple(gap.files for gap in scenario.vanish if gap.from_h <= hour < gap.to_h),
        )

    def _step(self) -> None:
        hour = self.time_s / _HOUR_S
        thermal = self._scenario.thermal
        self._battery_percent += self._battery_rate(hour) * STEP_S / _HOUR_S
        self._battery_percent = min(max(self._battery_percent, 0.0), 100.0)
        balance_c = self._balance_c(hour)
        # Exact for a balance that holds still during the step.
        self._temperature_c = balance_c + (self._temperature_c - balance_c) * exp(-STEP_S / thermal.time_constant_s)
        threshold_c = thermal.release_c if self._throttled else thermal.throttle_c
        self._throttled = self._temperature_c >= threshold_c
        self._throttled_ever |= self._throttled
        self._steps += 1

    def _activity(self, hour: float) -> Activity:
        return self._scenario.activity[max(bisect_right(self._starts_h, hour) - 1, 0)]

    def _load(self, hour: float) -> float:
        load = self._activity(hour).load * (1 + _FLUCTUATION * self._fluctuation(hour))
        return min(load + self._own_load, float(self._scenario.cores))

    def _fluctuation(self, hour: float) -> float:
        """Between -1 and 1; a function of time and seed alone."""
        return sum(sin(2 * pi * hour / period_h + phase) for period_h, phase in self._waves) / len(self._waves)

    def _battery_rate(self, hour: float) -> float:
        """Percent per hour that the battery gains."""
        battery = self._scenario.battery
        if _is_in(battery.plugged, hour):
            return battery.charge_percent_per_h if self._battery_percent < 100 else 0.0  # noqa: PLR2004 - percent
        return -(battery.idle_percent_per_h + battery.load_percent_per_h * self._load(hour))

    def _ambient_c(self, hour: float) -> float:
        return float(np.interp(hour, self._ambient[:, 0], self._ambient[:, 1]))

    def _balance_c(self, hour: float) -> float:
        """Temperature that the processor would reach if everything stayed as it is."""
        thermal = self._scenario.thermal
        # Dynamic power goes with the clock and the square of a voltage that follows it; the
        # square of the clock alone stays on the warm side.
        share = (thermal.throttled_mhz / thermal.clock_mhz) ** 2 if self._throttled else 1.0
        return self._ambient_c(hour) + thermal.idle_rise_c + thermal.load_rise_c * share * self._load(hour)

    def _memory(self, hour: float) -> tuple[float, float]:
        """Available MiB and pressure in percent."""
        memory = self._scenario.memory
        usual_mib = memory.available_mib * (1 - _FLUCTUATION * (1 + self._fluctuation(hour)) / 2)
        depth, shortage = max(
            ((_depth(shortage, hour, memory.ramp_h), shortage) for shortage in memory.short),
            key=lambda pair: pair[0],
            default=(0.0, None),
        )
        if shortage is None:
            return usual_mib, 0.0
        return usual_mib + depth * (shortage.available_mib - usual_mib), depth * shortage.pressure_percent


def _is_in(periods: tuple[Period, ...], hour: float) -> bool:
    return any(period.from_h <= hour < period.to_h for period in periods)


def _depth(shortage: MemoryShortage, hour: float, ramp_h: float) -> float:
    """How far a shortage has come: 0 outside, 1 in its middle, linear at both ends."""
    inside_h = min(hour - shortage.from_h, shortage.to_h - hour)
    return min(max(inside_h / ramp_h, 0.0), 1.0)
