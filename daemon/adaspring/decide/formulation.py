"""From tables and budgets to the problem that is searched, and from its figures back to predictions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from adaspring.decide.budgets import Budgets, Reference
from adaspring.decide.decision import Corrections, Prediction
from adaspring.decide.demands import Front
from adaspring.decide.explain import MIB, Ledger
from adaspring.decide.problem import ACCURACY, ENERGY, LATENCY, MEMORY, Array, Problem, Quantity
from adaspring.decide.search import Incumbent
from adaspring.space import Genome, SearchSpace, analytic_tables
from adaspring.tables import DeviceTables, SlotTable

#: Least span to measure losses by, in points, should all subnets be about as accurate.
LEAST_SPAN_POINTS = 1.0
_ELEMENT_BYTES = {"float32": 4, "int8": 1}


def reference_of(space: SearchSpace, accuracy: SlotTable, tables: DeviceTables) -> Reference:
    """The full network, by which loss and energy are measured.

    Args:
        space: The search space.
        accuracy: Expected accuracy, in percent.
        tables: Latency and energy on this device.
    """
    ends = np.stack([space.full(), space.smallest()])
    full, smallest = accuracy.evaluate(space, ends).tolist()
    return Reference(
        accuracy_percent=full,
        accuracy_span_points=max(LEAST_SPAN_POINTS, full - smallest),
        energy_mj=float(tables.energy_mj.evaluate(space, ends)[0]),
    )


@dataclass(frozen=True, slots=True)
class Prices:
    """What it costs in score to use more.

    Attributes:
        latency_s: Of a second of compute at the 95th percentile.
        energy_mj: Of a millijoule of a frame.
        memory_mib: Of a MiB.
    """

    latency_s: float
    energy_mj: float
    memory_mib: float


@dataclass(frozen=True, slots=True)
class Formulation:
    """One bundle on one device as a problem.

    Attributes:
        problem: What is searched.
        parameters: Parameters of each edge, shape ``(E,)``.
        reference: The full network.
    """

    problem: Problem
    parameters: Array
    reference: Reference

    @classmethod
    def of(cls, space: SearchSpace, accuracy: SlotTable, tables: DeviceTables, reference: Reference) -> Formulation:
        """Formulate.

        Args:
            space: The search space.
            accuracy: Expected accuracy, in percent.
            tables: Latency and energy on this device.
            reference: As `reference_of` makes it of these.
        """
        analytic = analytic_tables(space)
        parameters = SlotTable.of_parameters(space, analytic)
        element_mib = np.array([_ELEMENT_BYTES[name] / MIB for name in space.spec.precisions])
        each = element_mib[:, None, None, None]
        session_mib = tables.facts.session_mib or 0.0
        gain = accuracy.scaled(-1.0)
        use: dict[Quantity, SlotTable] = {
            "accuracy": SlotTable(gain.values, reference.accuracy_percent + gain.head, gain.pairs),
            "latency": tables.latency_us,
            "energy": tables.energy_mj,
            "memory": SlotTable(parameters.values * each, parameters.head * element_mib[:, None] + session_mib),
        }
        activations = SlotTable(each * analytic.activations, np.zeros_like(parameters.head))
        problem = Problem(space, use, activations)
        return cls(problem, problem.trellis.pack(parameters), reference)

    def weights(self, allowed: Budgets) -> Array:
        """Weights of the objective, in the order of `QUANTITIES`."""
        return np.array(
            [
                allowed.lambda_accuracy / self.reference.accuracy_span_points,
                0.0,
                allowed.lambda_energy / self.reference.energy_mj,
                0.0,
            ]
        )

    def limits(self, allowed: Budgets, corrections: Corrections) -> Array:
        """Budgets in the units of the search, in the order of `QUANTITIES`.

        Args:
            allowed: The budgets.
            corrections: What frames told about the tables.
        """
        return np.array(
            [
                self.reference.accuracy_percent - allowed.accuracy_percent,
                allowed.latency_p95_us / (corrections.tail_ratio * corrections.latency_factor),
                np.inf if allowed.energy_mj is None else allowed.energy_mj / corrections.energy_factor,
                np.inf if allowed.memory_mib is None else allowed.memory_mib,
            ]
        )

    def priced(self, prices: Prices, corrections: Corrections) -> Array:
        """Prices in the units of the search, in the order of `QUANTITIES`; corrections as those of `limits`."""
        return np.array(
            [
                0.0,
                prices.latency_s * corrections.tail_ratio * corrections.latency_factor * 1e-6,
                prices.energy_mj * corrections.energy_factor,
                prices.memory_mib,
            ]
        )

    def ledger(self, corrections: Corrections) -> Ledger:
        """What turns figures of the search back; corrections as those of `limits`."""
        tail = corrections.tail_ratio * corrections.latency_factor
        return Ledger(self.problem, self.parameters, self.reference.accuracy_percent, tail, corrections.energy_factor)

    def predict(self, genome: Genome, corrections: Corrections) -> Prediction:
        """What a subnet is expected to do; corrections as those of `limits`."""
        ledger = self.ledger(corrections)
        return ledger.predictions(self.problem.of_genomes(genome[None]))[0]

    def front(self, genomes: Genome, weights: Array, corrections: Corrections, running: Incumbent | None) -> Front:
        """What subnets score and use.

        Args:
            genomes: Which, shape ``(n, slots + 1)``.
            weights: As `weights` gives them.
            corrections: As those of `limits`.
            running: The subnet that runs: others cost the switch, and of it more may be known.
        """
        problem = self.problem
        use = problem.total(problem.of_genomes(genomes)) * problem.scale
        objective = use @ weights
        if running is not None:
            others = (genomes != running.genome).any(axis=1)
            use[~others, LATENCY] *= running.latency_ratio
            objective[others] += running.switching_cost
        return Front(
            objective=objective,
            loss_points=use[:, ACCURACY],
            latency_s=use[:, LATENCY] * corrections.tail_ratio * corrections.latency_factor * 1e-6,
            energy_mj=use[:, ENERGY] * corrections.energy_factor,
            memory_mib=use[:, MEMORY],
        )
