"""Figures and sentences for a person: what subnets are expected to do, and why the others lost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from adaspring.decide.decision import Alternative, Prediction, Relaxed
from adaspring.decide.problem import (
    ACCURACY,
    ENERGY,
    LATENCY,
    MEMORY,
    QUANTITIES,
    ROUNDING,
    Array,
    Candidates,
    Mask,
    Problem,
    Quantity,
)
from adaspring.decide.search import Found

MIB = 2**20
#: Runners-up told besides the subnet that ran before and the best score that broke a budget.
RUNNERS_UP = 2
#: A runner-up differs in at least so many genes from all others told.
DISTINCT_GENES = 2


@dataclass(frozen=True, slots=True)
class Ledger:
    """Turns the scaled figures of the search back into those that a person knows.

    Attributes:
        problem: The problem that was searched.
        parameters: Parameters of each edge, shape ``(E,)``.
        full_percent: Accuracy of the full network.
        tail: 95th percentile of latency over the percentile of the table, corrected.
        energy: Energy over that of the table, corrected.
    """

    problem: Problem
    parameters: Array
    full_percent: float
    tail: float
    energy: float

    def predictions(self, candidates: Candidates) -> list[Prediction]:
        """What each candidate is expected to do."""
        use = candidates.use.copy()
        use[:, MEMORY] += candidates.peak
        use *= self.problem.scale
        parameters = self.parameters[candidates.edges].sum(axis=1)
        return [
            Prediction(
                # An additive table can promise more than can be.
                accuracy_percent=min(100.0, max(0.0, self.full_percent - row[ACCURACY])),
                latency_us=row[LATENCY],
                latency_p95_us=row[LATENCY] * self.tail,
                energy_mj=row[ENERGY] * self.energy,
                parameters=round(size),
                memory_bytes=round(row[MEMORY] * MIB),
            )
            for row, size in zip(use.tolist(), parameters.tolist(), strict=True)
        ]

    def told(self, quantity: Quantity, use: float) -> str:
        """A use of a quantity, in its unit, as a person would say it."""
        if quantity == "accuracy":
            return f"{self.full_percent - use:.1f} %"
        if quantity == "latency":
            return f"{use * self.tail / 1e3:.3g} ms"
        return f"{use * self.energy:.3g} mJ" if quantity == "energy" else f"{use:.3g} MiB"


def relaxations(ledger: Ledger, found: Found, budgets: Array) -> tuple[Relaxed, ...]:
    """What had to give, with figures."""
    sentences = []
    for name in found.relaxed:
        index = QUANTITIES.index(name)
        wanted, given = ledger.told(name, float(budgets[index])), ledger.told(name, float(found.allowed[index]))
        sentence = f"{name} relaxed from {wanted} to {given}, the nearest within the budgets ranked above it"
        sentences.append(Relaxed(name, sentence))
    return tuple(sentences)


def alternatives(ledger: Ledger, found: Found, *, incumbent: bool) -> tuple[Alternative, ...]:
    """A few others that a person would ask about, and why they lost.

    Args:
        ledger: To tell figures with.
        found: Outcome of the search.
        incumbent: Whether the first subnet seen is the one that ran until now.
    """
    trellis = ledger.problem.trellis
    genomes = trellis.genomes(found.seen.edges)
    scale = ledger.problem.scale
    excess = ledger.problem.excess(found.seen, found.allowed / scale)
    over = excess > ROUNDING
    fits: Mask = ~np.any(over, axis=1)
    told = [found.genome]
    rows: list[tuple[int, str]] = []

    def tell(row: int, role: str, distance: int) -> bool:
        wanted = all(np.count_nonzero(genomes[row] != other) >= distance for other in told)
        if wanted:
            told.append(genomes[row])
            rows.append((row, role))
        return wanted

    if incumbent:
        tell(0, "running until now", 1)
    better = int(np.where(fits, np.inf, found.objectives).argmin())
    if not fits[better] and found.objectives[better] < found.objective:
        tell(better, "better score, over budget", 1)
    runners = 0
    for row in np.flatnonzero(fits)[found.objectives[fits].argsort(kind="stable")].tolist():
        runners += tell(row, "runner-up", DISTINCT_GENES)
        if runners == RUNNERS_UP:
            break
    if not rows:
        return ()
    chosen = np.array([row for row, _ in rows])
    seen = found.seen
    predictions = ledger.predictions(Candidates(seen.edges[chosen], seen.use[chosen], seen.peak[chosen]))
    return tuple(
        Alternative(
            genome=tuple(genomes[row].tolist()),
            text=trellis.space.format(genomes[row]),
            role=role,
            predicted=predicted,
            objective=float(found.objectives[row]),
            why_not=_exceeded(ledger, found, excess[row] * scale, over[row]) if over[row].any() else _score(found, row),
        )
        for (row, role), predicted in zip(rows, predictions, strict=True)
    )


def _score(found: Found, row: int) -> str:
    return f"scores {found.objectives[row]:.4f}, the chosen one {found.objective:.4f}, and less is better"


def _exceeded(ledger: Ledger, found: Found, excess: Array, over: Mask) -> str:
    parts = []
    for index in np.flatnonzero(over).tolist():
        name, limit = QUANTITIES[index], float(found.allowed[index])
        would_be = ledger.told(name, limit + float(excess[index]))
        side = "at least" if name == "accuracy" else "at most"
        parts.append(f"{name} would be {would_be}, and {side} {ledger.told(name, limit)} is allowed")
    return "; ".join(parts)
