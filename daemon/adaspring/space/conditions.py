"""What the statistics of a batch norm are conditioned on.

The input of a slot depends on everything chosen before it, so one set of batch
norm statistics does not fit all subnets. Statistics are therefore a linear
function of the genome: a few rows, selected by the genome, are added up. Design
time fits the rows over many random subnets; assembly adds up those that apply.

What a layer sees is above all what its *producer* puts out: the last slot upstream
that was not skipped, with its operator and its width. So there is a row for every
choice of every slot that may be the producer. In a residual stage all blocks since the
one that began it are producers together: what they put out adds up, and so do their
rows. Rows for each choice of each slot
upstream, skips among them, are as many and fit worse: next to a producer it hardly
matters what stands before it, and behind a skip it matters most. Another row stands
for the slot's own width, on which the rank of a factorised operator depends.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from adaspring.space.space import SKIP, Genome, SearchSpace


def condition_count(space: SearchSpace, slot: int) -> int:
    """Rows of the statistics of a layer in a slot."""
    upstream = sum(len(space.choices[producer]) for producer in _producers(space, slot))
    return 1 + len(_own_widths(space, slot)) + upstream


def condition_rows(space: SearchSpace, genome: Genome, slot: int) -> npt.NDArray[np.intp]:
    """Rows that apply to a layer in a slot of a subnet; their sum is its statistics.

    Row 0 always applies, then one for the slot's own width, then one for the choice of
    each producer, the nearest first; the first slot has none.
    """
    widths = _own_widths(space, slot)
    rows = [0, 1 + widths.index(space.choices[slot][genome[slot]].width)]
    first = 1 + len(widths)
    for producer in _producers(space, slot):
        choice = space.choices[producer][genome[producer]]
        if choice is not SKIP:
            rows.append(first + int(genome[producer]))
            if not space.holds(producer, choice):
                break
        first += len(space.choices[producer])
    return np.array(rows, dtype=np.intp)


# Asked for every layer of every subnet that is assembled, so kept.
@lru_cache(maxsize=1024)
def _own_widths(space: SearchSpace, slot: int) -> tuple[int, ...]:
    """Widths that a slot may have, ascending; that of a skip is 0."""
    return tuple(sorted({choice.width for choice in space.choices[slot]}))


@lru_cache(maxsize=1024)
def _producers(space: SearchSpace, slot: int) -> tuple[int, ...]:
    """Slots that may be producers, the nearest first, up to one that sets the width in every subnet."""
    producers: list[int] = []
    for producer in range(slot - 1, -1, -1):
        producers.append(producer)
        if not any(space.holds(producer, choice) for choice in space.choices[producer]):
            break
    return tuple(producers)
