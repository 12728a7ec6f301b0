"""A day lived through by the daemon's own monitor, trigger, policy and search, and by its rivals."""

from __future__ import annotations

import tempfile
from collections import deque
from math import inf
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from adaspring.app.counters import LEAST_FRAMES
from adaspring.app.evolution import Evolution, Evolver
from adaspring.bundle import Bundle
from adaspring.context import Monitor
from adaspring.context.model import Reading
from adaspring.decide import Budgets, Planner, Policy, Trigger
from adaspring.engine import Prepared, SubnetCache
from adaspring.engine.base import Batch
from adaspring.errors import EngineError
from adaspring.simulate.lanes import Indices, Lanes, Outcome
from adaspring.simulate.physics import STEP_S
from adaspring.simulate.plant import Contract, Judge, Subnets, Truth
from adaspring.simulate.scenario import Scenario
from adaspring.simulate.tree import LiveTree
from adaspring.space import Genome, SearchSpace
from adaspring.tables import Atlas, DeviceTables, LatencyCorrection

Array = npt.NDArray[np.float64]

#: Frames of a step whose times the daemon is shown, as many as it remembers.
SHOWN = 256
#: Prices of energy that the oracle tries, in points of accuracy for the energy of the full network.
PRICES = (0.0, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
#: The replay is no race: a search cut short by a busy machine could not be repeated.
PATIENCE_MS = 1e4
#: Where trees of files are cheapest; elsewhere the temporary folder has to do.
_MEMORY = Path("/dev/shm")  # noqa: S108 - a private folder is made in it


class Moment(msgspec.Struct, frozen=True):
    """The adaptive daemon at one step of the day.

    Attributes:
        hour: Hours since midnight.
        battery_percent: Charge left.
        temperature_c: Of the processor.
        event_rate_hz: Frames asked for per second.
        budget_us: Most 95th percentile of compute that the policy allows.
        latency_us: True 95th percentile of compute.
        floor_percent: Least accuracy that is asked for.
        accuracy_percent: True accuracy of the subnet.
        energy_mj: Of all frames so far.
        subnet: In text form.
        cause: Why it was changed to at this step; empty where it was not.
    """

    hour: float
    battery_percent: float
    temperature_c: float
    event_rate_hz: float
    budget_us: float
    latency_us: float
    floor_percent: float
    accuracy_percent: float
    energy_mj: float
    subnet: str
    cause: str


class Day(msgspec.Struct, frozen=True):
    """One seed of a replayed day.

    Attributes:
        seed: Of the truth.
        adaptive: What became of it with the daemon choosing.
        statics: The same with each subnet of the atlas held all day, by its text form.
        oracle: The same with truth known at each step.
        moments: The adaptive daemon, step by step.
    """

    seed: int
    adaptive: Outcome
    statics: dict[str, Outcome]
    oracle: Outcome
    moments: tuple[Moment, ...]


def replay_day(
    scenario: Scenario,
    policy: Policy,
    *,
    bundle: Bundle,
    tables: DeviceTables,
    atlas: Atlas,
    seed: int,
    contract: Contract | None = None,
) -> Day:
    """Live through a day with the daemon's own parts, with every static subnet, and with the oracle.

    Args:
        scenario: The day.
        policy: The daemon's, and the contract that all are judged by.
        bundle: Its space, and accuracy as the planner believes it.
        tables: As the planner believes them.
        atlas: The static rivals, and where the search starts.
        seed: Of the truth.
        contract: What frames are judged by, as `Judge` takes it.
    """
    space, accuracy = bundle.space, bundle.accuracy.percent
    truth = Truth.drawn(space, accuracy, tables, seed)
    judge = Judge(policy, truth, contract)
    rivals = truth.of(atlas.genomes)
    patient = msgspec.structs.replace(policy, search_deadline_ms=PATIENCE_MS)
    planner = Planner(space, accuracy, tables, patient, atlas=atlas)
    adaptive, moments = _adaptive(scenario, planner, truth, judge, seed)
    names = [space.format(genome) for genome in atlas.genomes]
    statics = dict(zip(names, _statics(scenario, judge, rivals), strict=True))
    return Day(seed, adaptive, statics, _oracle(scenario, judge, rivals), moments)


def _statics(scenario: Scenario, judge: Judge, subnets: Subnets) -> list[Outcome]:
    """What becomes of each subnet that is held all day."""
    count = len(subnets.genomes)
    lanes, index = Lanes(scenario, judge, count), np.arange(count)
    while not lanes.finished:
        lanes.step(subnets, index)
    return lanes.outcomes(np.zeros(count, dtype=np.int64))


def _oracle(scenario: Scenario, judge: Judge, subnets: Subnets) -> Outcome:
    """The best of several clairvoyants, each with another price of energy in its choice at every step."""
    lanes, prices = Lanes(scenario, judge, len(PRICES)), np.arange(len(PRICES))
    costs = [price * subnets.energy_mj / subnets.energy_mj.max() - subnets.accuracy_percent for price in PRICES]
    # Within an activity the same is asked again and again.
    best: dict[tuple[float, bool, float], Indices] = {}

    def choices(floor_percent: float, *, slowed: bool) -> Indices:
        key = (lanes.events_hz, slowed, floor_percent)
        if key not in best:
            late = np.round(lanes.late_shares(subnets, slowed=slowed), 3)
            violated = np.where(subnets.accuracy_percent < floor_percent, 1.0, late)
            best[key] = np.array([np.lexsort((cost, violated))[0] for cost in costs])
        return best[key]

    running: Indices | None = None
    switches = np.zeros(len(PRICES), dtype=np.int64)
    while not lanes.finished:
        now = zip(prices, judge.floors_percent(lanes.bodies).tolist(), lanes.slowed.tolist(), strict=True)
        index = np.array([choices(floor, slowed=slowed)[price] for price, floor, slowed in now])
        if running is not None:
            switches += running != index
        running = index
        lanes.step(subnets, index)
    outcomes = lanes.outcomes(switches)
    return min(outcomes, key=lambda outcome: (round(outcome.violations), -outcome.mean_accuracy))


def _adaptive(
    scenario: Scenario, planner: Planner, truth: Truth, judge: Judge, seed: int
) -> tuple[Outcome, tuple[Moment, ...]]:
    lane, served_by = Lanes(scenario, judge), np.zeros(1, dtype=np.intp)

    def clock() -> float:
        return lane.time_s

    planner.correction = LatencyCorrection(wall=clock)
    counters, trigger = _Frames(np.random.default_rng(seed)), Trigger(planner.policy)
    moments: list[Moment] = []
    with tempfile.TemporaryDirectory(prefix="adaspring-day-", dir=_MEMORY if _MEMORY.is_dir() else None) as folder:
        tree = LiveTree(Path(folder))
        # Time stands still while files are read: however long that takes, no sensor hangs. Files in
        # memory need no thread to read them in, and handing over to one takes longer than they do.
        monitor = Monitor(
            Path(folder),
            counters,
            clock=clock,
            suspended=float,
            time_of_day=lambda: _NO_TIME_OF_DAY,
            deadline_s=inf,
        )
        tree.write(lane.state())
        cache = SubnetCache(_PaperEngine(planner.space), 0.0)
        evolver, evolution = Evolver.begin(planner.space, planner, cache, monitor.tick(), seed=0, wall=str)
        budgets = _decided(trigger, evolution, clock())
        cause, switches = evolution.cause.sentence, 0
        while not lane.finished:
            running = evolver.active.current.subnet
            served = truth.of(running.genome[None])
            low_us = float((served.latency_us * lane.slowdown)[0])
            counters.serve(lane.events_hz * STEP_S * (not lane.empty[0]), low_us, judge.spread)
            moments.append(
                Moment(
                    hour=lane.hour,
                    battery_percent=float(lane.bodies.battery_percent[0]),
                    temperature_c=float(lane.bodies.temperature_c[0]),
                    event_rate_hz=lane.events_hz,
                    budget_us=budgets.latency_p95_us,
                    latency_us=low_us * truth.tail_ratio,
                    floor_percent=float(judge.floors_percent(lane.bodies)[0]),
                    accuracy_percent=float(served.accuracy_percent[0]),
                    energy_mj=float(lane.energy_mj[0]),
                    subnet=running.name,
                    cause=cause,
                )
            )
            lane.step(served, served_by)
            cause = ""
            if lane.empty[0]:
                # There is no daemon on a device that is off.
                continue
            tree.write(lane.state())
            context = monitor.tick()
            if len(counters.new_us):
                planner.observe(running.genome, counters.new_us, context)
            due = trigger.check(context, clock())
            if due is not None:
                evolution = evolver.evolve(due, context, 0.0)
                budgets = _decided(trigger, evolution, clock())
                if evolution.swapped:
                    cause, switches = due.sentence, switches + 1
                    counters.swapped()
    return lane.outcomes(np.array([switches]))[0], tuple(moments)


def _decided(trigger: Trigger, evolution: Evolution, now_s: float) -> Budgets:
    decision = evolution.decision
    if decision is None:
        raise EngineError("an evolution that nobody pinned carries a decision")
    trigger.decided(decision.context, decision.budgets, now_s)
    return decision.budgets


#: This machine's time of day would make two replays differ.
_NO_TIME_OF_DAY = Reading(None, "the turned clock", "a replay has no time of day")


class _Frames:
    """What the monitor learns from the frames themselves (`context.monitor.Counters`)."""

    queue_depth = 0
    deadline_us: float | None = None

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._received = 0.0
        self._recent_us: deque[float] = deque(maxlen=SHOWN)
        self.new_us: Array = np.empty(0)

    def serve(self, frames: float, low_us: float, spread: Array) -> None:
        """Answer frames that come at random."""
        self._received += frames
        self.new_us = low_us * self._rng.choice(spread, size=min(SHOWN, round(frames)))
        self._recent_us.extend(self.new_us.tolist())

    def swapped(self) -> None:
        """Forget the frames of another subnet."""
        self._recent_us.clear()

    @property
    def received(self) -> int:
        return int(self._received)

    @property
    def latency_p95_us(self) -> float | None:
        return float(np.percentile(self._recent_us, 95)) if len(self._recent_us) >= LEAST_FRAMES else None


class _PaperSubnet:
    """A subnet whose frames are counted, not computed."""

    def __init__(self, genome: Genome, name: str, outputs: int) -> None:
        self.genome = genome
        self.name = name
        self.batch_sizes: tuple[int, ...] = ()
        self._outputs = outputs

    def run(self, batch: Batch) -> Batch:
        return np.zeros((len(batch), self._outputs), dtype=np.float32)


class _PaperEngine:
    """Prepares subnets at once; what a swap takes is measured elsewhere."""

    name = "simulated"

    def __init__(self, space: SearchSpace) -> None:
        self._space = space

    def prepare(self, genome: Genome) -> Prepared:
        return Prepared(_PaperSubnet(genome, self._space.format(genome), self._space.spec.outputs), 0.0, 0.0, 0.0)
