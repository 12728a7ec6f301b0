"""The physics of a scenario: what devices go through, and how battery and heat answer to their load.

Elementwise over lanes: devices in one scenario that differ only in the load of what they
serve, so that a day with every subnet of an atlas is lived through at once.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from math import exp, pi, sin

import numpy as np
import numpy.typing as npt

from adaspring.simulate.scenario import Activity, MemoryShortage, Period, Scenario

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

#: Step of the model, in seconds of the day. The day is computed on this grid however it is
#: walked, so it is the same day in 20 s and in 60 s.
STEP_S = 10.0
HOUR_S = 3600.0
FULL_PERCENT = 100.0
#: Relative size of the fluctuations of load and memory.
_FLUCTUATION = 0.1
#: Their periods, in hours: no multiples of each other, so that they do not repeat in a day.
_PERIODS_H = (0.11, 0.37, 1.3)


@dataclass(frozen=True, slots=True)
class Bodies:
    """What a step leaves behind in devices; arrays of shape ``(n,)``.

    Attributes:
        battery_percent: Charge left.
        temperature_c: Of the processor.
        throttled: Whether the clock is lowered for heat.
    """

    battery_percent: Array
    temperature_c: Array
    throttled: Mask


class Physics:
    """A scenario at any hour."""

    def __init__(self, scenario: Scenario) -> None:
        """Prepare a scenario."""
        self.scenario = scenario
        phases = np.random.default_rng(scenario.seed).uniform(0, 2 * pi, size=len(_PERIODS_H)).tolist()
        self._waves = tuple(zip(_PERIODS_H, phases, strict=True))
        self._starts_h = [activity.from_h for activity in scenario.activity]
        self._ambient = np.array(scenario.thermal.ambient)

    def begin(self, count: int) -> Bodies:
        """Devices at the begin of the span, in thermal balance."""
        cool = np.zeros(count, dtype=bool)
        hour = self.scenario.span.from_h
        balance_c = self._balance_c(hour, cool, self.load(hour, np.zeros(count)))
        return Bodies(np.full(count, self.scenario.battery.start_percent), balance_c, cool)

    def step(self, hour: float, bodies: Bodies, own_load: Array) -> Bodies:
        """Devices a step later.

        Args:
            hour: When the step begins.
            bodies: Devices then.
            own_load: Cores that each keeps busy besides the scenario's load, shape ``(n,)``.
        """
        thermal, load = self.scenario.thermal, self.load(hour, own_load)
        percent = bodies.battery_percent + self.battery_rate(hour, bodies.battery_percent, load) * STEP_S / HOUR_S
        balance_c = self._balance_c(hour, bodies.throttled, load)
        # Exact for a balance that holds still during the step.
        temperature_c = balance_c + (bodies.temperature_c - balance_c) * exp(-STEP_S / thermal.time_constant_s)
        throttled = temperature_c >= np.where(bodies.throttled, thermal.release_c, thermal.throttle_c)
        return Bodies(np.minimum(np.maximum(percent, 0.0), FULL_PERCENT), temperature_c, throttled)

    def activity(self, hour: float) -> Activity:
        """What goes on."""
        return self.scenario.activity[max(bisect_right(self._starts_h, hour) - 1, 0)]

    def load(self, hour: float, own_load: Array) -> Array:
        """Cores kept busy."""
        load = self.activity(hour).load * (1 + _FLUCTUATION * self._fluctuation(hour))
        return np.minimum(load + own_load, float(self.scenario.cores))

    def battery_rate(self, hour: float, percent: Array, load: Array) -> Array:
        """Percent per hour that batteries gain."""
        battery = self.scenario.battery
        if self.plugged(hour):
            return np.where(percent < FULL_PERCENT, battery.charge_percent_per_h, 0.0)
        rate: Array = -(battery.idle_percent_per_h + battery.load_percent_per_h * load)
        return rate

    def clock_mhz(self, hour: float, throttled: Mask) -> Array:
        """Clock that processors may run at."""
        thermal = self.scenario.thermal
        return np.where(throttled | self.undervoltage(hour), thermal.throttled_mhz, thermal.clock_mhz)

    def plugged(self, hour: float) -> bool:
        """Whether the supply is connected."""
        return _is_in(self.scenario.battery.plugged, hour)

    def undervoltage(self, hour: float) -> bool:
        """Whether the supply is too low."""
        return _is_in(self.scenario.dips, hour)

    def ambient_c(self, hour: float) -> float:
        """Temperature around the device."""
        return float(np.interp(hour, self._ambient[:, 0], self._ambient[:, 1]))

    def memory(self, hour: float) -> tuple[float, float]:
        """Available MiB and pressure in percent."""
        memory = self.scenario.memory
        usual_mib = memory.available_mib * (1 - _FLUCTUATION * (1 + self._fluctuation(hour)) / 2)
        depth, shortage = max(
            ((_depth(shortage, hour, memory.ramp_h), shortage) for shortage in memory.short),
            key=lambda pair: pair[0],
            default=(0.0, None),
        )
        if shortage is None:
            return usual_mib, 0.0
        return usual_mib + depth * (shortage.available_mib - usual_mib), depth * shortage.pressure_percent

    def _fluctuation(self, hour: float) -> float:
        """Between -1 and 1; a function of time and seed alone."""
        return sum(sin(2 * pi * hour / period_h + phase) for period_h, phase in self._waves) / len(self._waves)

    def _balance_c(self, hour: float, throttled: Mask, load: Array) -> Array:
        """Temperature that processors would reach if everything stayed as it is."""
        thermal = self.scenario.thermal
        # Dynamic power goes with the clock and the square of a voltage that follows it; the
        # square of the clock alone stays on the warm side.
        share = np.where(throttled, (thermal.throttled_mhz / thermal.clock_mhz) ** 2, 1.0)
        balance: Array = self.ambient_c(hour) + thermal.idle_rise_c + thermal.load_rise_c * share * load
        return balance


def _is_in(periods: tuple[Period, ...], hour: float) -> bool:
    return any(period.from_h <= hour < period.to_h for period in periods)


def _depth(shortage: MemoryShortage, hour: float, ramp_h: float) -> float:
    """How far a shortage has come: 0 outside, 1 in its middle, linear at both ends."""
    inside_h = min(hour - shortage.from_h, shortage.to_h - hour)
    return min(max(inside_h / ramp_h, 0.0), 1.0)
