"""The planner: context in, decision out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

import msgspec
import numpy as np

from adaspring.context.model import Context
from adaspring.decide.budgets import Budgets, Reference, budgets, check_policy
from adaspring.decide.decision import Decision, Prediction
from adaspring.decide.explain import MIB, Ledger, alternatives, relaxations
from adaspring.decide.policy import Policy, thermal_state
from adaspring.decide.problem import Array, Problem, Quantity
from adaspring.decide.search import Deadline, Found, Search
from adaspring.decide.trigger import Cause
from adaspring.errors import TableError
from adaspring.space import Genome, SearchSpace, analytic_tables
from adaspring.tables import Atlas, DeviceTables, LatencyCorrection, SlotTable

#: Least span to measure losses by, in points, should all subnets be about as accurate.
LEAST_SPAN_POINTS = 1.0
#: An objective is a share of the full network's energy plus a share of the span; shares of
#: less than this say nothing (a subnet better than the full network can even score below zero).
LEAST_OBJECTIVE = 0.01
_ELEMENT_BYTES = {"float32": 4, "int8": 1}


@dataclass(frozen=True, slots=True)
class Choice:
    """A subnet chosen, and what `Planner.decision` needs to tell why.

    Attributes:
        context: The context behind it.
        incumbent: The genome that ran until then; None at the start.
        seed: Seed of the search.
        latency_factor: Measured over predicted latency that the correction stood at.
        budgets: What the context allows.
        limits: The same in the units of the search, shape ``(4,)``.
        found: What the search found.
        search_us: Time of the search, in microseconds.
    """

    context: Context
    incumbent: Genome | None
    seed: int
    latency_factor: float
    budgets: Budgets
    limits: Array
    found: Found
    search_us: float

    @property
    def genome(self) -> Genome:
        """The chosen subnet."""
        return self.found.genome


class Planner:
    """Decides for one bundle on one device under one policy.

    Attributes:
        space: The search space.
        tables: Latency and energy on this device.
        policy: What is asked of the daemon.
        reference: The full network, by which loss and energy are measured.
        correction: Online correction of the latency table.
        fingerprint: Of all that decisions follow from, besides their own inputs.
    """

    def __init__(
        self,
        space: SearchSpace,
        accuracy: SlotTable,
        tables: DeviceTables,
        policy: Policy,
        *,
        atlas: Atlas | None = None,
        correction: LatencyCorrection | None = None,
    ) -> None:
        """Prepare to decide.

        Args:
            space: The search space.
            accuracy: Expected accuracy, in percent.
            tables: Latency and energy on this device.
            policy: What is asked of the daemon.
            atlas: Good subnets for the search to start from.
            correction: What was learned before about the latency table.

        Raises:
            TableError: If a table must not be used.
            ConfigError: If no subnet of this bundle can meet the policy.
        """
        accuracy.check(space, "accuracy")
        tables.latency_us.check(space, "latency")
        tables.energy_mj.check(space, "energy")
        self.space = space
        self.tables = tables
        self.policy = policy
        self.correction = LatencyCorrection() if correction is None else correction
        self._condition = ""

        ends = np.stack([space.full(), space.smallest()])
        full, smallest = accuracy.evaluate(space, ends).tolist()
        self.reference = Reference(
            accuracy_percent=full,
            accuracy_span_points=max(LEAST_SPAN_POINTS, full - smallest),
            energy_mj=float(tables.energy_mj.evaluate(space, ends)[0]),
        )
        check_policy(policy, self.reference)

        analytic = analytic_tables(space)
        parameters = SlotTable.of_parameters(space, analytic)
        element_mib = np.array([_ELEMENT_BYTES[name] / MIB for name in space.spec.precisions])
        each = element_mib[:, None, None, None]
        session_mib = tables.facts.session_mib or 0.0
        use: dict[Quantity, SlotTable] = {
            "accuracy": SlotTable(-accuracy.values, full - accuracy.head),
            "latency": tables.latency_us,
            "energy": tables.energy_mj,
            "memory": SlotTable(parameters.values * each, parameters.head * element_mib[:, None] + session_mib),
        }
        activations = SlotTable(each * analytic.activations, np.zeros_like(parameters.head))
        self._problem = Problem(space, use, activations)
        self._parameters = self._problem.trellis.pack(parameters)
        known = space.full()[None] if atlas is None else atlas.genomes
        self._search = Search(self._problem, known)
        self.fingerprint = self._digest(known)

    def choose(
        self,
        context: Context,
        incumbent: Genome | None,
        *,
        seed: int = 0,
        clock: Callable[[], float] = monotonic,
        latency_factor: float | None = None,
    ) -> Choice:
        """Choose the subnet for a context; `decision` tells the rest of it.

        What a person wants to know takes a quarter of the time, and the swap need not
        wait for it.

        Args:
            context: What the device is going through.
            incumbent: The subnet that runs; None at the start.
            seed: Seed of the search.
            clock: Monotonic, in seconds; the search's deadline is read on it.
            latency_factor: Stands in for what the correction has learned, to repeat a decision.
        """
        self._condition = thermal_state(self.policy, context)
        factor = self.latency_correction if latency_factor is None else latency_factor
        allowed = budgets(self.policy, context, self.reference)
        limits = self._limits(allowed, self.tables.facts.tail_ratio * factor)
        weights = np.array(
            [
                allowed.lambda_accuracy / self.reference.accuracy_span_points,
                0.0,
                allowed.lambda_energy / self.reference.energy_mj,
                0.0,
            ]
        )
        started_s = clock()
        found = self._search.run(
            weights,
            limits,
            relaxation=self.policy.relaxation_order,
            incumbent=incumbent,
            switching_cost=self.policy.switching_cost,
            seed=seed,
            deadline=Deadline(clock, started_s + self.policy.search_deadline_ms * 1e-3),
        )
        search_us = (clock() - started_s) * 1e6
        return Choice(context, incumbent, seed, factor, allowed, limits, found, search_us)

    def decision(self, choice: Choice, cause: Cause) -> Decision:
        """All of a decision, for the journal, for people, and to make it again.

        Args:
            choice: What was chosen.
            cause: Why it was made.
        """
        found, incumbent = choice.found, choice.incumbent
        ledger = self._ledger(choice.latency_factor)
        return Decision(
            planner=self.fingerprint,
            seed=choice.seed,
            cause=cause,
            context=choice.context,
            latency_factor=choice.latency_factor,
            incumbent=None if incumbent is None else tuple(incumbent.tolist()),
            budgets=choice.budgets,
            genome=tuple(found.genome.tolist()),
            text=self.space.format(found.genome),
            predicted=ledger.predictions(self._problem.of_genomes(found.genome[None]))[0],
            objective=found.objective,
            bound=found.bound,
            gap_percent=100 * (found.objective - found.bound) / abs(found.objective),
            feasible=not found.relaxed,
            relaxed=relaxations(ledger, found, choice.limits),
            alternatives=alternatives(ledger, found, incumbent=incumbent is not None),
            in_time=found.in_time,
            search_us=choice.search_us,
        )

    def decide(
        self,
        context: Context,
        incumbent: Genome | None,
        cause: Cause,
        *,
        seed: int = 0,
        clock: Callable[[], float] = monotonic,
        latency_factor: float | None = None,
    ) -> Decision:
        """`choose`, then `decision`."""
        choice = self.choose(context, incumbent, seed=seed, clock=clock, latency_factor=latency_factor)
        return self.decision(choice, cause)

    @property
    def latency_correction(self) -> float:
        """Measured over predicted latency under the condition of the last decision."""
        return self.correction.factor(self._condition)

    def observe(self, genome: Genome, latency_us: float) -> None:
        """Learn from measured latency.

        Args:
            genome: The subnet that was measured.
            latency_us: The percentile of its compute that the tables hold, in microseconds.
        """
        predicted = float(self.tables.latency_us.evaluate(self.space, genome[None])[0])
        self.correction.observe(predicted, latency_us, self._condition)

    def predict(self, genome: Genome) -> Prediction:
        """What a subnet is expected to do under the condition of the last decision."""
        return self._ledger(self.latency_correction).predictions(self._problem.of_genomes(genome[None]))[0]

    def _ledger(self, factor: float) -> Ledger:
        tail = self.tables.facts.tail_ratio * factor
        return Ledger(self._problem, self._parameters, self.reference.accuracy_percent, tail)

    def _limits(self, allowed: Budgets, tail: float) -> Array:
        """Budgets in the units of the search, in the order of `QUANTITIES`."""
        return np.array(
            [
                self.reference.accuracy_percent - allowed.accuracy_percent,
                allowed.latency_p95_us / tail,
                np.inf if allowed.energy_mj is None else allowed.energy_mj,
                np.inf if allowed.memory_mib is None else allowed.memory_mib,
            ]
        )

    def _digest(self, known: Genome) -> str:
        digest = hashlib.blake2b(digest_size=8)
        for array in (self._problem.use, self._problem.peak, self._problem.scale, known):
            digest.update(np.ascontiguousarray(array).tobytes())
        digest.update(msgspec.json.encode((self.policy, self.reference, self.tables.facts.tail_ratio)))
        return digest.hexdigest()


def replay(decision: Decision, planner: Planner) -> Decision:
    """Make a decision again from what it recorded; only the search's time differs.

    The search gets all the time it wants, so a decision that its deadline cut short
    may come out better.

    Args:
        decision: As recorded.
        planner: One over the same tables, policy and atlas.

    Raises:
        TableError: If the planner is another.
    """
    if decision.planner != planner.fingerprint:
        raise TableError(
            f"the decision was made by planner {decision.planner}, this one is {planner.fingerprint}: "
            "replay it over the same bundle, device tables, policy and atlas"
        )
    incumbent = None if decision.incumbent is None else planner.space.check(decision.incumbent)
    return planner.decide(
        decision.context,
        incumbent,
        decision.cause,
        seed=decision.seed,
        clock=lambda: 0.0,
        latency_factor=decision.latency_factor,
    )
