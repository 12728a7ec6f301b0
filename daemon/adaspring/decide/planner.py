"""The planner: context in, decision out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

import msgspec
import numpy as np

from adaspring.context.model import Context
from adaspring.decide.budgets import Budgets, budgets, check_policy
from adaspring.decide.decision import Corrections, Decision, Prediction, Together
from adaspring.decide.demands import Front
from adaspring.decide.explain import alternatives, relaxations
from adaspring.decide.formulation import Formulation, Prices, reference_of
from adaspring.decide.knowledge import Knowledge
from adaspring.decide.policy import Policy, thermal_state
from adaspring.decide.problem import MEMORY, Array
from adaspring.decide.search import Deadline, Found, Incumbent, Search
from adaspring.decide.trigger import Cause
from adaspring.space import Genome, SearchSpace
from adaspring.tables import Atlas, DeviceTables, EnergyCorrection, LatencyCorrection, SlotTable


@dataclass(frozen=True, slots=True)
class Choice:
    """A subnet chosen, and what `Planner.decision` needs to tell why.

    Attributes:
        context: The context behind it.
        incumbent: The genome that ran until then; None at the start.
        seed: Seed of the search.
        corrections: Where the online corrections stood.
        budgets: What the context allows.
        limits: The same in the units of the search, shape ``(4,)``.
        found: What the search found.
        search_us: Time of the search, in microseconds.
    """

    context: Context
    incumbent: Genome | None
    seed: int
    corrections: Corrections
    budgets: Budgets
    limits: Array
    found: Found
    search_us: float

    @property
    def genome(self) -> Genome:
        """The chosen subnet."""
        return self.found.genome


class Planner(Knowledge):
    """Decides for one bundle on one device under one policy, with what frames told about the tables.

    Attributes:
        reference: The full network, by which loss and energy are measured.
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
        energy_correction: EnergyCorrection | None = None,
    ) -> None:
        """Prepare to decide.

        Args:
            space: The search space.
            accuracy: Expected accuracy, in percent.
            tables: Latency and energy on this device.
            policy: What is asked of the daemon.
            atlas: Good subnets for the search to start from.
            correction: What was learned before about the latency table.
            energy_correction: What was learned before about the energy table.

        Raises:
            TableError: If a table must not be used.
            ConfigError: If no subnet of this bundle can meet the policy.
        """
        accuracy.check(space, "accuracy")
        tables.latency_us.check(space, "latency")
        tables.energy_mj.check(space, "energy")
        super().__init__(space, tables, policy, correction, energy_correction)
        self.reference = reference_of(space, accuracy, tables)
        check_policy(policy, self.reference)

        self._formulation = Formulation.of(space, accuracy, tables, self.reference)
        known = space.full()[None] if atlas is None else atlas.genomes
        self._search = Search(self._formulation.problem, known)
        self.fingerprint = self._digest(known)

    def choose(
        self,
        context: Context,
        incumbent: Genome | None,
        *,
        seed: int = 0,
        clock: Callable[[], float] = monotonic,
        corrections: Corrections | None = None,
        deadline: Deadline | None = None,
        allowed: Budgets | None = None,
    ) -> Choice:
        """Choose the subnet for a context; `decision` tells the rest of it.

        What a person wants to know takes time that the swap need not wait for.

        Args:
            context: What the device is going through.
            incumbent: The subnet that runs; None at the start.
            seed: Seed of the search.
            clock: Monotonic, in seconds; the search's deadline is read on it.
            corrections: Stand in for what was learned, to repeat a decision.
            deadline: Stands in for that of the policy, to repeat a decision.
            allowed: What is left for this model where several share the device, with whatever slack the subnet
                that runs has; stands in for what the context allows.
        """
        self.enter(context)
        if corrections is None:
            corrections = self.corrections(incumbent)
        slack = self.policy.trigger.latency_slack_percent / 100 if allowed is None else 0.0
        allowed = allowed or self.budgets(context, corrections)
        limits = self._formulation.limits(allowed, corrections)
        started_s = clock()
        if deadline is None:
            deadline = Deadline(clock, started_s + self.policy.search_deadline_ms * 1e-3)
        found = self._search.run(
            self._formulation.weights(allowed),
            limits,
            relaxation=self.policy.relaxation_order,
            incumbent=None if incumbent is None else self._incumbent(incumbent, corrections, context, slack),
            seed=seed,
            deadline=deadline,
        )
        search_us = (clock() - started_s) * 1e6
        return Choice(context, incumbent, seed, corrections, allowed, limits, found, search_us)

    def priced_bound(
        self,
        context: Context,
        incumbent: Genome | None,
        prices: Prices,
        *,
        seed: int,
        clock: Callable[[], float],
        corrections: Corrections,
        allowed: Budgets,
    ) -> float:
        """What no subnet within budgets scores less than, with what it uses at some prices on top.

        Args are those of `choose`, and ``prices``: in score, for what a subnet uses.
        """
        extra, problem = self._formulation.priced(prices, corrections), self._formulation.problem
        found = self._search.run(
            self._formulation.weights(allowed) + extra,
            self._formulation.limits(allowed, corrections),
            relaxation=self.policy.relaxation_order,
            incumbent=None if incumbent is None else self._incumbent(incumbent, corrections, context, 0.0),
            seed=seed,
            deadline=Deadline(clock, clock() + self.policy.search_deadline_ms * 1e-3),
        )
        # A peak adds up along no path: the bound grants every subnet the least one.
        return found.bound + float(extra[MEMORY] * problem.least_peak * problem.scale[MEMORY])

    def decision(self, choice: Choice, cause: Cause, together: Together | None = None) -> Decision:
        """All of a decision, for the journal, for people, and to make it again.

        Args:
            choice: What was chosen.
            cause: Why it was made.
            together: What was decided for other models with it.
        """
        found, incumbent = choice.found, choice.incumbent
        # Its first frames are held against this; looked up now, it holds up no evolution.
        self.uncorrected(found.genome)
        corrections, stays = choice.corrections, incumbent is not None and np.array_equal(found.genome, incumbent)
        ledger = self._formulation.ledger(corrections)
        own = _of_incumbent(corrections) if stays else corrections
        return Decision(
            planner=self.fingerprint,
            seed=choice.seed,
            cause=cause,
            context=choice.context,
            corrections=corrections,
            incumbent=None if incumbent is None else tuple(incumbent.tolist()),
            budgets=choice.budgets,
            genome=tuple(found.genome.tolist()),
            text=self.space.format(found.genome),
            predicted=self._formulation.predict(found.genome, own),
            objective=found.objective,
            bound=found.bound,
            gap_percent=100 * (found.objective - found.bound) / abs(found.objective),
            feasible=not (found.relaxed or (together and together.relaxed)),
            relaxed=relaxations(ledger, found, choice.limits) + (together.relaxed if together else ()),
            alternatives=alternatives(ledger, found, incumbent=incumbent is not None),
            in_time=found.ended_at_look is None,
            ended_at_look=found.ended_at_look,
            search_us=choice.search_us,
            together=together,
        )

    def decide(
        self,
        context: Context,
        incumbent: Genome | None,
        cause: Cause,
        *,
        seed: int = 0,
        clock: Callable[[], float] = monotonic,
        corrections: Corrections | None = None,
        deadline: Deadline | None = None,
        allowed: Budgets | None = None,
        together: Together | None = None,
    ) -> Decision:
        """`choose`, then `decision`."""
        choice = self.choose(
            context,
            incumbent,
            seed=seed,
            clock=clock,
            corrections=corrections,
            deadline=deadline,
            allowed=allowed,
        )
        return self.decision(choice, cause, together)

    def budgets(self, context: Context, corrections: Corrections) -> Budgets:
        """What a context allows the model, were it alone on the device."""
        energy_mj = self.reference.energy_mj * corrections.energy_factor
        reference = msgspec.structs.replace(self.reference, energy_mj=energy_mj)
        return budgets(self.policy, context, reference, corrections.tail_ratio)

    @property
    def front(self) -> Genome:
        """Known subnets of which none is better in every respect than another, shape ``(n, slots + 1)``."""
        return self._search.front

    def weighed(
        self, genomes: Genome, allowed: Budgets, corrections: Corrections, context: Context, incumbent: Genome | None
    ) -> Front:
        """What subnets score and use, for a decision about several models.

        Args:
            genomes: Which, shape ``(n, slots + 1)``.
            allowed: Budgets; what energy is worth against accuracy is taken from them.
            corrections: What frames told about the tables.
            context: What the device is going through.
            incumbent: The subnet that runs: others cost the switch, and of it more may be known.
        """
        running = None if incumbent is None else self._incumbent(incumbent, corrections, context, 0.0)
        return self._formulation.front(genomes, self._formulation.weights(allowed), corrections, running)

    def predict(self, genome: Genome) -> Prediction:
        """What a subnet is expected to do under the condition of the last decision."""
        return self._formulation.predict(genome, _of_incumbent(self.corrections(genome)))

    def _incumbent(self, genome: Genome, corrections: Corrections, context: Context, slack: float) -> Incumbent:
        # In an emergency nothing is worth waiting for.
        urgent = thermal_state(self.policy, context) == "critical"
        return Incumbent(
            genome=genome,
            latency_ratio=corrections.incumbent_factor / corrections.latency_factor,
            switching_cost=0.0 if urgent else self.policy.switching_cost,
            slack=0.0 if urgent else slack,
        )

    def _digest(self, known: Genome) -> str:
        digest = hashlib.blake2b(digest_size=8)
        problem = self._formulation.problem
        for array in (problem.use, problem.peak, problem.scale, known):
            digest.update(np.ascontiguousarray(array).tobytes())
        digest.update(msgspec.json.encode((self.policy, self.reference)))
        return digest.hexdigest()


def _of_incumbent(corrections: Corrections) -> Corrections:
    """Corrections for the subnet that they tell of by its own frames."""
    return msgspec.structs.replace(corrections, latency_factor=corrections.incumbent_factor)
