"""The judge of a replayed day: what subnets truly take and reach, and what frames may take and must reach.

The planner knows its tables. The plant has others, drawn from them by a seed and hidden
from the policy: entries that are off, a device that is slower or hungrier as a whole.
Battery and heat follow the load of whatever subnet serves (`Lanes`).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, inf, log
from statistics import NormalDist

import msgspec
import numpy as np
import numpy.typing as npt

from adaspring.decide import Policy
from adaspring.simulate.physics import Bodies
from adaspring.space import Genome, SearchSpace
from adaspring.tables import DeviceTables, SlotTable

Array = npt.NDArray[np.float64]

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
            accuracy=SlotTable(
                accuracy.values + rng.normal(0, ACCURACY_SPREAD, accuracy.values.shape), accuracy.head, accuracy.pairs
            ),
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


class Contract(msgspec.Struct, frozen=True):
    """What frames are judged by. A policy that is to keep it asks for a little more than it says.

    Attributes:
        deadline_ms: Of every frame; None for the latency of the policy, which lets five of a
            hundred frames through.
        loss_points: What may be lost against the full network; None for what the policy allows.
    """

    deadline_ms: float | None = None
    loss_points: float | None = None


class Judge:
    """What frames may take and must reach: the policy as the application's contract.

    Attributes:
        spread: Compute of frames over its low percentile, at evenly likely quantiles.
    """

    def __init__(self, policy: Policy, truth: Truth, contract: Contract | None = None) -> None:
        """Take the contract.

        Args:
            policy: What the contract leaves open. The floor of its emergencies holds while the
                processor is throttled or critically hot, for whatever subnet runs then.
            truth: By which the full network is measured.
            contract: What frames are judged by; None for what the policy says.
        """
        contract = contract or Contract()
        deadline_ms, loss_points = contract.deadline_ms, contract.loss_points
        self._deadline_us = 1e3 * (policy.latency_p95_ms if deadline_ms is None else deadline_ms)
        self._critical_c = policy.critical_temperature_c
        full = float(truth.of(truth.space.full()[None]).accuracy_percent[0])
        least = -inf if policy.least_accuracy_percent is None else policy.least_accuracy_percent
        self._floor = max(least, full - (policy.max_accuracy_loss_points if loss_points is None else loss_points))
        self._floor_in_emergency = min(self._floor, max(least, full - policy.emergency_accuracy_loss_points))
        sigma = log(truth.tail_ratio) / (_TAIL_Z - _LOW_Z)
        self.spread: Array = np.exp(sigma * (_GRID_Z - _LOW_Z))
        # Within an activity the same is asked again and again.
        self._late: dict[tuple[bytes, float], Array] = {}

    def floors_percent(self, bodies: Bodies) -> Array:
        """Least accuracy that is asked for of each device."""
        critical = bodies.throttled | (bodies.temperature_c >= self._critical_c)
        return np.where(critical, self._floor_in_emergency, self._floor)

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


def _scaled(table: SlotTable, rng: np.random.Generator) -> SlotTable:
    whole = exp(rng.normal(0, DEVICE_SPREAD))
    values = table.values * whole * np.exp(rng.normal(0, ENTRY_SPREAD, table.values.shape))
    return SlotTable(values, table.head * whole * np.exp(rng.normal(0, ENTRY_SPREAD, table.head.shape)))
