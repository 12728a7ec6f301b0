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

Where a layer reads what the slot's own width decides, as the second factor of a low
rank does, width and producer do not add up: what few of the factor's channels carry
depends on who put them in. Such layers have *joint* rows besides, one for each own
width behind each choice of the nearest producer. Tables of other layers end before them.
"""

from __future__ import annotations

from collections.abc import Sized
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from adaspring.space.lowering import lower_slot, max_input_width
from adaspring.space.space import SKIP, Genome, SearchSpace


def condition_count(space: SearchSpace, slot: int, *, joint: bool = False) -> int:
    """Rows of the statistics of a layer in a slot, with its joint rows or without."""
    upstream = _upstream(space, slot)
    own = len(_own_widths(space, slot))
    return 1 + own + upstream + (own * upstream if joint else 0)


def condition_rows(space: SearchSpace, genome: Genome, slot: int) -> npt.NDArray[np.intp]:
    """Rows that apply to a layer in a slot of a subnet; their sum is its statistics.

    Row 0 always applies, then one for the slot's own width, then one for the choice of
    each producer, the nearest first; the first slot has none. Last stands the joint row,
    where there is a producer (see `held_rows`).
    """
    widths = _own_widths(space, slot)
    own = widths.index(space.choices[slot][genome[slot]].width)
    rows = [0, 1 + own]
    first = 1 + len(widths)
    for producer in _producers(space, slot):
        choice = space.choices[producer][genome[producer]]
        if choice is not SKIP:
            rows.append(first + int(genome[producer]))
            if not space.holds(producer, choice):
                break
        first += len(space.choices[producer])
    if len(rows) > len((0, own)):
        nearest = rows[2] - 1 - len(widths)
        rows.append(condition_count(space, slot) + own * _upstream(space, slot) + nearest)
    return np.array(rows, dtype=np.intp)


def held_rows(rows: npt.NDArray[np.intp], table: Sized) -> npt.NDArray[np.intp]:
    """Of the rows that a genome selects those that a table has: all, or all but the joint one."""
    return rows if rows[-1] < len(table) else rows[:-1]


@lru_cache(maxsize=64)
def joint_layers(space: SearchSpace) -> frozenset[str]:
    """Names of the layers that read as many channels as the slot's own width decides.

    Directly, or through a layer without a norm. A depthwise convolution reads one channel for each, however many.
    """
    reads: dict[str, set[int]] = {}
    through: dict[str, tuple[str, ...]] = {}
    for slot, choices in enumerate(space.choices):
        for choice in choices:
            if choice.operator is not None:
                block = lower_slot(space, slot, choice.operator, max_input_width(space, slot), choice.width)
                before: tuple[str, ...] = ()
                for step in block.steps:
                    for layer in step:
                        reads.setdefault(layer.name, set()).add(0 if layer.conv.depthwise else layer.conv.in_channels)
                        through[layer.name] = before
                    before = tuple(layer.name for layer in step if not layer.conv.norm)
    joint = {name for name, channels in reads.items() if len(channels) > 1}
    return frozenset(joint | {name for name, before in through.items() if joint.intersection(before)})


# Asked for every layer of every subnet that is assembled, so kept.
@lru_cache(maxsize=1024)
def _own_widths(space: SearchSpace, slot: int) -> tuple[int, ...]:
    """Widths that a slot may have, ascending; that of a skip is 0."""
    return tuple(sorted({choice.width for choice in space.choices[slot]}))


@lru_cache(maxsize=1024)
def _upstream(space: SearchSpace, slot: int) -> int:
    """Choices of all slots that may be producers."""
    return sum(len(space.choices[producer]) for producer in _producers(space, slot))


@lru_cache(maxsize=1024)
def _producers(space: SearchSpace, slot: int) -> tuple[int, ...]:
    """Slots that may be producers, the nearest first, up to one that sets the width in every subnet."""
    producers: list[int] = []
    for producer in range(slot - 1, -1, -1):
        producers.append(producer)
        if not any(space.holds(producer, choice) for choice in space.choices[producer]):
            break
    return tuple(producers)
