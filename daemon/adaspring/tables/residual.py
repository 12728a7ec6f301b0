"""What one factor cannot mend: single entries of the latency table that are off.

Each subnet that served long enough is evidence: what its frames took. Within one
condition the factor falls on all alike, so what differs between subnets is the table's.
A ridge regression spreads the differences over the entries that the subnets use, and
is believed only if it foretells each subnet from the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

from adaspring.space import Genome, SearchSpace
from adaspring.tables.correction import EXPIRES_S
from adaspring.tables.fit import TableFeatures
from adaspring.tables.slot_table import SlotTable

Array = npt.NDArray[np.float64]

#: Subnets remembered at most; the oldest leave.
MOST_EVIDENCE = 128
#: Fewest subnets that residuals are fitted to, and fewest in one condition.
LEAST_SUBNETS = 8
LEAST_IN_CONDITION = 3
#: Share of the error, left one out, that a fit must leave behind to be believed.
BELIEVED = 0.8
#: Strengths of the ridge that are tried.
RIDGES = (0.003, 0.01, 0.03, 0.1, 0.3)
#: An entry is changed at most so much, in log units: half as long again.
MOST_CHANGE = 0.4


class Evidence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a subnet took under a condition.

    Attributes:
        genome: The subnet.
        condition: As of the correction.
        latency_us: Low percentile of a window of its frames.
        at: When, in seconds since 1970.
    """

    genome: tuple[int, ...]
    condition: str
    latency_us: float
    at: float


@dataclass(frozen=True, slots=True)
class ResidualFit:
    """A corrected table and how it does on subnets that it was not fitted to.

    Attributes:
        table: The table, entries corrected.
        subnets: Subnets behind it.
        before_percent: Root mean square error between subnets before.
        after_percent: The same after, each subnet foretold from the others.
    """

    table: SlotTable
    subnets: int
    before_percent: float
    after_percent: float


def remember(known: Sequence[Evidence], new: Evidence) -> tuple[Evidence, ...]:
    """Evidence with a newer piece; of a subnet and condition the newest stays, and the oldest of all leave."""
    kept = [
        piece
        for piece in known
        if (piece.genome, piece.condition) != (new.genome, new.condition) and new.at - piece.at < EXPIRES_S
    ]
    return (*kept[-(MOST_EVIDENCE - 1) :], new)


def fit_residuals(space: SearchSpace, table: SlotTable, evidence: Iterable[Evidence]) -> ResidualFit | None:
    """Correct single entries of a latency table.

    Args:
        space: Of the table.
        table: In microseconds.
        evidence: What subnets took.

    Returns:
        None where evidence does not suffice, or a correction foretells nothing.
    """
    pieces = _comparable(evidence)
    if len({piece.genome for piece in pieces}) < LEAST_SUBNETS:
        return None
    genomes: Genome = np.array([piece.genome for piece in pieces], dtype=np.int16)
    predicted = table.evaluate(space, genomes)
    ratios = np.log([piece.latency_us for piece in pieces]) - np.log(predicted)
    conditions = np.array([piece.condition for piece in pieces])
    centring = (conditions[:, None] == conditions[None, :]).astype(np.float64)
    centring /= centring.sum(axis=1, keepdims=True)
    targets = ratios - centring @ ratios

    features = TableFeatures(space)
    entries = features.entries(table)
    shares = features.encode(genomes) * entries / predicted[:, None]
    shares -= centring @ shares
    kernel = shares @ shares.T
    before = float(np.sqrt(np.mean(targets**2)))
    after, ridge = min((_left_out(kernel, targets, ridge), ridge) for ridge in RIDGES)
    if after > BELIEVED * before:
        return None
    weights = np.linalg.solve(kernel + ridge * np.eye(len(targets)), targets)
    change = np.clip(shares.T @ weights, -MOST_CHANGE, MOST_CHANGE)
    corrected = features.decode(entries * np.expm1(change), table, np.array([[1.0, 0.0]]))
    return ResidualFit(corrected, len(targets), 100 * before, 100 * after)


def drift_percent(space: SearchSpace, old: SlotTable, new: SlotTable, genomes: Genome) -> float:
    """How differently two tables rank subnets: the spread of their ratio, in percent.

    A factor common to all subnets moves no front, and is no drift.
    """
    ratios = np.log(new.evaluate(space, genomes) / old.evaluate(space, genomes))
    return 100 * float(np.std(ratios))


def _comparable(evidence: Iterable[Evidence]) -> list[Evidence]:
    pieces = list(evidence)
    subnets: dict[str, set[tuple[int, ...]]] = {}
    for piece in pieces:
        subnets.setdefault(piece.condition, set()).add(piece.genome)
    return [piece for piece in pieces if len(subnets[piece.condition]) >= LEAST_IN_CONDITION]


def _left_out(kernel: Array, targets: Array, ridge: float) -> float:
    """Root mean square error of kernel ridge regression, each target foretold from the others (in closed form)."""
    hat = kernel @ np.linalg.inv(kernel + ridge * np.eye(len(targets)))
    errors = (targets - hat @ targets) / (1 - np.diag(hat))
    return float(np.sqrt(np.mean(errors**2)))
