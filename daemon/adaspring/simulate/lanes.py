"""Devices lived through side by side: one day, each with another way of choosing subnets."""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

from adaspring.simulate.device import DayState, state_of
from adaspring.simulate.physics import HOUR_S, STEP_S, Array, Mask, Physics
from adaspring.simulate.plant import Judge, Subnets
from adaspring.simulate.scenario import Scenario

Indices = npt.NDArray[np.intp]


class Outcome(msgspec.Struct, frozen=True):
    """What became of a day.

    Attributes:
        violations: Frames over their deadline, under the accuracy floor, or lost to an empty battery.
        late: Of these, those over their deadline.
        inaccurate: Those in time, but under the floor.
        lost: Those lost to an empty battery.
        frames: All frames of the day.
        mean_accuracy: Over the frames that were answered, in percent.
        energy_mj: Of all frames that were answered.
        hours: Until the battery was first empty; the whole day where it never was.
        switches: How often the subnet changed.
    """

    violations: float
    late: float
    inaccurate: float
    lost: float
    frames: float
    mean_accuracy: float
    energy_mj: float
    hours: float
    switches: int


class Lanes:
    """Some devices in one scenario; arrays of shape ``(n,)``, an element for each."""

    def __init__(self, scenario: Scenario, judge: Judge, count: int = 1) -> None:
        """Begin the day."""
        self._physics = Physics(scenario)
        self._judge = judge
        self._span = scenario.span
        self._slowdown = scenario.thermal.clock_mhz / scenario.thermal.throttled_mhz
        self._steps = 0
        self._frames = 0.0
        self._empty_s = np.full(count, np.nan)
        self._late, self._inaccurate, self._lost, self._accuracy, self._energy, self._own_load = np.zeros((6, count))
        self._throttled_ever = np.zeros(count, dtype=bool)
        self.bodies = self._physics.begin(count)

    @property
    def time_s(self) -> float:
        """Time of day, in seconds since midnight."""
        return self._span.from_h * HOUR_S + self._steps * STEP_S

    @property
    def hour(self) -> float:
        """The same in hours."""
        return self.time_s / HOUR_S

    @property
    def finished(self) -> bool:
        """Whether the day is over."""
        return self.time_s + STEP_S > self._span.to_h * HOUR_S

    @property
    def events_hz(self) -> float:
        """Frames a second."""
        return self._physics.activity(self.hour).events_hz

    @property
    def empty(self) -> Mask:
        """Whose battery has nothing left while nothing feeds it."""
        empty: Mask = (self.bodies.battery_percent <= 0) & (not self._physics.plugged(self.hour))
        return empty

    @property
    def slowed(self) -> Mask:
        """Whose clock is lowered."""
        slowed: Mask = self.bodies.throttled | self._physics.undervoltage(self.hour)
        return slowed

    @property
    def slowdown(self) -> Array:
        """Compute now over that at the full clock."""
        return np.where(self.slowed, self._slowdown, 1.0)

    @property
    def energy_mj(self) -> Array:
        """Of the frames answered so far."""
        return self._energy

    def state(self) -> DayState:
        """The first device as its sensors would show it."""
        own_load, ever = float(self._own_load[0]), bool(self._throttled_ever[0])
        return state_of(self._physics, self.time_s, self.bodies, own_load=own_load, throttled_ever=ever)

    def late_shares(self, subnets: Subnets, *, slowed: bool) -> Array:
        """Share of the frames of now that each of some subnets answers late, at the lowered or the full clock."""
        low_us = subnets.latency_us * self._slowdown if slowed else subnets.latency_us
        return self._judge.late_share(low_us, self.events_hz)

    def step(self, subnets: Subnets, index: Indices) -> None:
        """Live through one step of the model.

        Args:
            subnets: To choose from.
            index: Which of them serves each device.
        """
        slowed, answering, events_hz = self.slowed, ~self.empty, self.events_hz
        frames = events_hz * STEP_S
        answered = frames * answering
        late = self.late_shares(subnets, slowed=False)[index]
        if slowed.any():
            late = np.where(slowed, self.late_shares(subnets, slowed=True)[index], late)
        accuracy = subnets.accuracy_percent[index]
        self._frames += frames
        self._lost += frames - answered
        self._late += answered * late
        self._inaccurate += answered * (1 - late) * (accuracy < self._judge.floors_percent(self.bodies))
        self._accuracy += answered * accuracy
        self._energy += answered * subnets.energy_mj[index]
        self._empty_s = np.where(answering | np.isfinite(self._empty_s), self._empty_s, self.time_s)
        busy = events_hz * subnets.latency_us[index] * self.slowdown * (float(self._judge.spread.mean()) * 1e-6)
        self._own_load = np.where(answering, np.minimum(1.0, busy), 0.0)
        self.bodies = self._physics.step(self.hour, self.bodies, self._own_load)
        self._throttled_ever |= self.bodies.throttled
        self._steps += 1

    def outcomes(self, switches: npt.NDArray[np.int64]) -> list[Outcome]:
        """What became of the day so far, with how often each changed its subnet."""
        answered = self._frames - self._lost
        end_s = np.where(np.isfinite(self._empty_s), self._empty_s, self.time_s)
        columns = (
            self._late + self._inaccurate + self._lost,
            self._late,
            self._inaccurate,
            self._lost,
            np.full_like(answered, self._frames),
            np.divide(self._accuracy, answered, out=np.zeros_like(answered), where=answered > 0),
            self._energy,
            end_s / HOUR_S - self._span.from_h,
            switches,
        )
        return [Outcome(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]
