"""A model that shares a device with others, and how its limits are told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np

from adaspring.context.model import Context
from adaspring.decide.decision import Relaxed
from adaspring.decide.demands import Limits
from adaspring.decide.planner import Planner
from adaspring.decide.problem import Quantity
from adaspring.space import Genome

#: Priorities go from 1, the highest, to this.
LOWEST_PRIORITY = 9
DEFAULT_PRIORITY = 5
#: What limits that all share are called, their units, and the budget that they belong to.
_SHARED: tuple[tuple[str, str, Quantity], ...] = (
    ("the engine's busy time", "%", "latency"),
    ("power of all models", "mW", "energy"),
    ("memory of all models", "MiB", "memory"),
)


@dataclass(frozen=True, slots=True)
class Member:
    """A model that takes part in a decision.

    Attributes:
        name: Of the model.
        priority: 1 is the highest; each step down counts half.
        planner: Decides for it.
        context: What the device is going through, with the frames of this model.
        incumbent: The subnet that runs; None at the start.
        pinned: Whether an operator holds that subnet; the others then share what it leaves.
    """

    name: str
    priority: int
    planner: Planner
    context: Context
    incumbent: Genome | None
    pinned: bool = False

    @property
    def weight(self) -> float:
        """What its score counts in the decision."""
        return 2.0 ** (DEFAULT_PRIORITY - self.priority)

    @property
    def running(self) -> Genome:
        """The subnet that runs, as a front of one; none where none does."""
        if self.incumbent is None:
            return np.empty((0, self.planner.space.slot_count + 1), dtype=np.int16)
        return self.incumbent[None]


def relaxed_limit(members: Sequence[Member], wanted: Limits, allowed: Limits, place: int) -> Relaxed:
    """A limit that had to give, in the words of a person.

    Args:
        members: The models.
        wanted: The limits before.
        allowed: The limits as relaxed.
        place: Of the limit in `Limits.vector`.
    """
    count = len(members)
    before, after = float(wanted.vector()[place]), float(allowed.vector()[place])
    quantity: Quantity
    if place < count:
        full = members[place].planner.reference.accuracy_percent
        what, unit, quantity = f"accuracy of {members[place].name}", "%", "accuracy"
        before, after = full - before, full - after
    elif place < 2 * count:
        what, unit, quantity = f"latency of {members[place - count].name}", "ms", "latency"
        before, after = before * 1e3, after * 1e3
    else:
        what, unit, quantity = _SHARED[place - 2 * count]
        before, after = (before * 1e2, after * 1e2) if quantity == "latency" else (before, after)
    now = f"{after:.3g} {unit}" if isfinite(after) else "no limit"
    sentence = f"{what} relaxed from {before:.3g} {unit} to {now}, the nearest that what ranks above it leaves"
    return Relaxed(quantity, sentence)
