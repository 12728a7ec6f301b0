"""What the statistics of a batch norm are conditioned on.

The input of a slot depends on everything chosen before it, so one set of batch
norm statistics does not fit all subnets. Statistics are therefore a linear
function of the genome: a few rows, selected by the genome, are added up. Design
time fits the rows over many random subnets; assembly adds up those that apply.

What a layer sees is first of all what its *producer* puts out: the last slot
upstream that was not skipped, with its operator and width. Then comes the producer
of the producer, and so on: their influence fades. So a row is kept for every
choice of every slot that may stand in the first, second, ... place upstream,
and one for the slot's own width, on which the rank of a factorised operator
depends.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from adaspring.space.space import SKIP, Genome, SearchSpace

#: Producers upstream that have rows of their own.
DEPTH = 1


def condition_count(space: SearchSpace, slot: int) -> int:
    """Rows of the statistics of a layer in a slot."""
    blocks = (len(space.choices[producer]) for _, producer in _places(space, slot))
    return 1 + len(_own_widths(space, slot)) + sum(blocks)


def condition_rows(space: SearchSpace, genome: Genome, slot: int) -> npt.NDArray[np.intp]:
    """Rows that apply to a layer in a slot of a subnet; their sum is its statistics."""
    own = _own_widths(space, slot)
    first = 1 + len(own)
    offsets: dict[tuple[int, int], int] = {}
    for place, producer in _places(space, slot):
        offsets[place, producer] = first
        first += len(space.choices[producer])
    rows = [0, 1 + own.index(space.choices[slot][genome[slot]].width)]
    place = 0
    for producer in range(slot - 1, -1, -1):
        if place == DEPTH:
            break
        if space.choices[producer][genome[producer]] is not SKIP:
            rows.append(offsets[place, producer] + int(genome[producer]))
            place += 1
    return np.array(rows, dtype=np.intp)


def _own_widths(space: SearchSpace, slot: int) -> list[int]:
    """Widths that a slot itself may have, ascending; that of a skip is 0, and it has no layers."""
    return sorted({choice.width for choice in space.choices[slot]})


def _places(space: SearchSpace, slot: int) -> Iterator[tuple[int, int]]:
    """Pairs (place upstream, slot that may stand there)."""
    for producer in range(slot - 1, -1, -1):
        between = space.spec.slots[producer + 1 : slot]
        fewest = sum(not spec.skippable for spec in between)
        for place in range(fewest, min(len(between), DEPTH - 1) + 1):
            yield place, producer
