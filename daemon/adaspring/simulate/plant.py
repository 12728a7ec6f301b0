"""The judge of a replayed day: what subnets truly take and reach, and what became of the frames.

The planner knows its tables. The plant has others, drawn from them by a seed and hidden
from the policy: entries that are off, a device that is slower or hungrier as a whole.
Battery and heat follow the load of whatever subnet serves (`SimulatedDevice`).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log
from statistics import NormalDist

import msgspec
import numpy as np
import numpy.typing as npt

from adaspring.decide import Policy
from adaspring.simulate.device import STEP_S, DayState, SimulatedDevice
from adaspring.simulate.scenario import Scenario
from adaspring.space import Genome, SearchSpace
from adaspring.tables import DeviceTables, SlotTable

Array = npt.NDArray[np.float64]

_HOUR_S = 3600.0
#: Spread of the truth around the tables: of the device as a whole and of single entries, in log
#: units, and of the accuracy of single entries, in points.
DEVICE_SPREAD, ENTRY_SPREAD, ACCURACY_SPREAD = 0.15, 0.08, 0.1
#: Standard normal quantiles of the percentile that tables hold (20) and of the tail (95).
_LOW_Z, _TAIL_Z = -0.8416, 1.6449
#: An engine that is asked for more has a queue that only grows.
MOST_BUSY = 0.999
#: Evenly likely quantiles of a frame's compute that stand for its distribution: so many that the percentiles which
#: the daemon learns from are those of the distribution and no steps of the grid.
_GRID_Z = np.array([NormalDist().inv_cdf((index + 0.5) / 80) for index in range(80)])


@dataclass(frozen=True, slots=True)
class Truth:
    """What subnets truly do.

    Attributes:
        space: Their space.
        accuracy: In percent.
        latency_us: Low percentile of compute at the full clock.
        energy_mj: Of one frame.
        tail_ratio: 95th percentile of compute over the low one.
    """

    space: SearchSpace
    accuracy: SlotTable
    latency_us: SlotTable
    energy_mj: SlotTable
    tail_ratio: float

    @classmethod
    def drawn(cls, space: SearchSpace, accuracy: SlotTable, tables: DeviceTables, seed: int) -> Truth:
        """A truth around what the planner believes."""
        rng = np.random.default_rng(seed)
        return cls(
            space=space,
            accuracy=SlotTable(accuracy.values + rng.normal(0, ACCURACY_SPREAD, accuracy.values.shape), accuracy.head),
            latency_us=_scaled(tables.latency_us, rng),
            energy_mj=_scaled(tables.energy_mj, rng),
            tail_ratio=1 + (tables.facts.tail_ratio - 1) * exp(rng.normal(0, ENTRY_SPREAD)),
        )

    def of(self, genomes: Genome) -> Subnets:
        """What some subnets truly do; genomes of shape ``(n, slots + 1)``."""
        return Subnets(
            genomes=genomes,
            accuracy_percent=np.clip(self.accuracy.evaluate(self.space, genomes), 0.0, 100.0),
            latency_us=self.latency_us.evaluate(self.space, genomes),
            energy_mj=self.energy_mj.evaluate(self.space, genomes),
        )


@dataclass(frozen=True, slots=True)
class Subnets:
    """Subnets and what they truly do; all arrays of shape ``(n,)`` but the genomes.

    Attributes:
        genomes: Shape ``(n, slots + 1)``.
        accuracy_percent: Share of right answers.
        latency_us: Low percentile of compute at the full clock.
        energy_mj: Of one frame.
    """

    genomes: Genome
    accuracy_percent: Array
    latency_us: Array
    energy_mj: Array


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


class Judge:
    """What frames may take and must reach: the policy as the application's contract.

    Attributes:
        spread: Compute of frames over its low percentile, at evenly likely quantiles.
    """

    def __init__(self, policy: Policy, truth: Truth, deadline_ms: float | None = None) -> None:
        """Take the contract.

        Args:
            policy: Its accuracy floor; that of emergencies holds while the processor is
                throttled or critically hot, for whatever subnet runs then.
            truth: By which the full network is measured.
            deadline_ms: Of every frame; None for the latency of the policy, which lets five
                of a hundred frames through.
        """
        self._policy = policy
        self._deadline_us = 1e3 * (policy.latency_p95_ms if deadline_ms is None else deadline_ms)
        full = float(truth.of(truth.space.full()[None]).accuracy_percent[0])
        self._floor = full - policy.max_accuracy_loss_points
        self._floor_in_emergency = full - policy.emergency_accuracy_loss_points
        self._least = policy.least_accuracy_percent
        sigma = log(truth.tail_ratio) / (_TAIL_Z - _LOW_Z)
        self.spread: Array = np.exp(sigma * (_GRID_Z - _LOW_Z))
        # Within an activity the same is asked again and again.
        self._late: dict[tuple[bytes, float], Array] = {}

    def floor_percent(self, state: DayState) -> float:
        """Least accuracy that is asked for in a state of the device."""
        critical = state.throttled or state.temperature_c >= self._policy.critical_temperature_c
        floor = self._floor_in_emergency if critical else self._floor
        return floor if self._least is None else max(floor, self._least)

    def late_share(self, low_us: Array, event_rate_hz: float) -> Array:
        """Share of frames over the deadline, for low percentiles of compute.

        Frames come at random and wait for those before them. Waits are taken as
        exponential beyond an idle server, with the mean of Pollaczek and Khinchine.
        """
        key = (low_us.tobytes(), event_rate_hz)
        share = self._late.get(key)
        if share is None:
            share = self._late[key] = self._late_share(low_us, event_rate_hz)
        return share

    def _late_share(self, low_us: Array, event_rate_hz: float) -> Array:
        compute = np.multiply.outer(low_us, self.spread)
        mean = compute.mean(axis=1)
        offered = event_rate_hz * mean * 1e-6
        busy = np.minimum(offered, MOST_BUSY)
        wait = busy * (compute**2).mean(axis=1) / (2 * mean * (1 - busy))
        left = np.maximum(self._deadline_us - compute, 0.0)
        waiting = busy[:, None] * np.exp(-left * (busy / np.maximum(wait, 1e-9))[:, None])
        late = np.where(compute >= self._deadline_us, 1.0, waiting).mean(axis=1)
        share: Array = np.where(offered >= 1.0, 1.0, late)
        return share


class Lane:
    """One device, lived through with one way of choosing subnets."""

    def __init__(self, scenario: Scenario, judge: Judge) -> None:
        """Begin the day."""
        self._device = SimulatedDevice(scenario)
        self._judge = judge
        self._span = scenario.span
        self._empty_s: float | None = None
        self._late = self._inaccurate = self._lost = self._frames = 0.0
        self._accuracy = self._energy = 0.0
        self.state = self._device.state()

    @property
    def is_empty(self) -> bool:
        """Whether the battery has nothing left and nothing feeds it."""
        return self.state.battery_percent <= 0 and not self.state.plugged

    def now_us(self, low_us: Array) -> Array:
        """Low percentiles of compute at the clock of now, from those at the full one."""
        slowed: Array = low_us * (self.state.full_clock_mhz / self.state.clock_mhz)
        return slowed

    def step(self, subnets: Subnets, index: int) -> None:
        """Live through one step of the model with one of some subnets."""
        state = self.state
        frames = state.events_hz * STEP_S
        self._frames += frames
        own_load = 0.0
        if self.is_empty:
            self._empty_s = self.state.time_s if self._empty_s is None else self._empty_s
            self._lost += frames
        else:
            low_us = self.now_us(subnets.latency_us[index : index + 1])
            late = float(self._judge.late_share(low_us, state.events_hz)[0])
            accuracy = float(subnets.accuracy_percent[index])
            self._late += frames * late
            if accuracy < self._judge.floor_percent(state):
                self._inaccurate += frames * (1 - late)
            self._accuracy += frames * accuracy
            self._energy += frames * float(subnets.energy_mj[index])
            own_load = min(1.0, state.events_hz * float(low_us[0] * self._judge.spread.mean()) * 1e-6)
        self.state = self._device.advance_to(state.time_s + STEP_S, own_load=own_load)

    @property
    def finished(self) -> bool:
        """Whether the day is over."""
        return self.state.time_s + STEP_S > self._span.to_h * _HOUR_S

    @property
    def energy_mj(self) -> float:
        """Of the frames answered so far."""
        return self._energy

    def outcome(self, switches: int) -> Outcome:
        """What became of the day so far."""
        answered = self._frames - self._lost
        end_s = self.state.time_s if self._empty_s is None else self._empty_s
        return Outcome(
            violations=self._late + self._inaccurate + self._lost,
            late=self._late,
            inaccurate=self._inaccurate,
            lost=self._lost,
            frames=self._frames,
            mean_accuracy=self._accuracy / answered if answered else 0.0,
            energy_mj=self._energy,
            hours=end_s / _HOUR_S - self._span.from_h,
            switches=switches,
        )


def _scaled(table: SlotTable, rng: np.random.Generator) -> SlotTable:
    whole = exp(rng.normal(0, DEVICE_SPREAD))
    values = table.values * whole * np.exp(rng.normal(0, ENTRY_SPREAD, table.values.shape))
    return SlotTable(values, table.head * whole * np.exp(rng.normal(0, ENTRY_SPREAD, table.head.shape)))
