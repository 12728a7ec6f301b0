"""What the statistics of a batch norm are conditioned on.

The input of a slot depends on everything chosen before it, so one set of batch
norm statistics does not fit all subnets. Statistics are therefore a linear
function of the genome: a few rows, selected by the genome, are added up. Design
time fits the rows over many random subnets; assembly adds up those that apply.

What a layer sees is above all what its *producer* puts out: the last slot upstream
that was not skipped, with its operator and its width. So there is a row for every
choice of every slot that may be the producer. In a residual stage all blocks since the
one that began it are producers together: what they put out adds up, and so do their
rows. Another row stands for the slot's own width, on which the rank of a factorised
operator depends.

What stands farther upstream shapes what the producer was given, and with it what it puts
out. It has rows too, for each choice of each slot that was not skipped. Behind other
producers it counts for less, so a fit draws these rows towards zero.

Where a layer reads what the slot's own width decides, as the second factor of a low
rank does, width and producer do not add up: what few of the factor's channels carry
depends on who put them in. Such layers have *joint* rows besides, one for each own
width behind each choice of the nearest producer.

Tables need not have all of it: ranges of activations know of width and producers alone, and
so do bundles from before there was more. How many rows a table has tells which (see `condition_count`).
"""

from __future__ import annotations

from collections.abc import Sized
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from adaspring.errors import SpaceError
from adaspring.space.lowering import lower_slot, max_input_width
from adaspring.space.space import SKIP, Genome, SearchSpace


class Conditions:
    """The rows that a genome selects, in tables of each length that there may be."""

    def __init__(self, selected: dict[int, npt.NDArray[np.intp]]) -> None:
        """Take the rows by the number of rows that a table has."""
        self._selected = selected

    def of(self, table: Sized) -> npt.NDArray[np.intp]:
        """The rows of a table that apply; their sum is what it says of the genome.

        Raises:
            SpaceError: If a table of that length belongs to another space.
        """
        try:
            return self._selected[len(table)]
        except KeyError:
            counts = ", ".join(map(str, sorted(self._selected)))
            raise SpaceError(f"a table of {len(table)} conditions is of another space: there are {counts}") from None


def condition_count(space: SearchSpace, slot: int, *, joint: bool = False, upstream: bool = False) -> int:
    """Rows of a table of a slot: with joint rows or without, with rows for what is far upstream or without.

    No two of these four are alike, but where there is nothing to tell apart.
    """
    own, near = len(_own_widths(space, slot)), _near(space, slot)
    return 1 + own + near + (_far(space, slot) if upstream else 0) + (own * near if joint else 0)


def condition_rows(space: SearchSpace, genome: Genome, slot: int) -> Conditions:
    """Rows that apply to a layer in a slot of a subnet; their sum is its statistics.

    Row 0 always applies, then one for the slot's own width, then one for the choice of
    each producer, the nearest first; the first slot has none. Behind them stand those of the
    slots farther upstream, and last the joint row.
    """
    widths = _own_widths(space, slot)
    own = widths.index(space.choices[slot][genome[slot]].width)
    rows, producers = [0, 1 + own], []
    first = 1 + len(widths)
    for producer in _producers(space, slot):
        choice = space.choices[producer][genome[producer]]
        if choice is not SKIP:
            producers.append(producer)
            rows.append(first + int(genome[producer]))
            if not space.holds(producer, choice):
                break
        first += len(space.choices[producer])
    count = condition_count(space, slot)
    far, first = [], count
    for before in range(slot - 1):
        if before not in producers and space.choices[before][genome[before]] is not SKIP:
            far.append(first + int(genome[before]))
        first += len(space.choices[before])
    joint = [] if not producers else [own * _near(space, slot) + rows[2] - 1 - len(widths)]
    wide = condition_count(space, slot, upstream=True)
    selected = {
        count: rows,
        condition_count(space, slot, joint=True): rows + [count + row for row in joint],
        wide: rows + far,
        condition_count(space, slot, joint=True, upstream=True): rows + far + [wide + row for row in joint],
    }
    return Conditions({length: np.array(chosen, dtype=np.intp) for length, chosen in selected.items()})


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


# Asked for every slot of every subnet that is assembled, so kept.
@lru_cache(maxsize=1024)
def _own_widths(space: SearchSpace, slot: int) -> tuple[int, ...]:
    """Widths that a slot may have, ascending; that of a skip is 0."""
    return tuple(sorted({choice.width for choice in space.choices[slot]}))


@lru_cache(maxsize=1024)
def _near(space: SearchSpace, slot: int) -> int:
    """Choices of all slots that may be producers."""
    return sum(len(space.choices[producer]) for producer in _producers(space, slot))


@lru_cache(maxsize=1024)
def _far(space: SearchSpace, slot: int) -> int:
    """Rows for choices that may stand farther upstream: one too many where joint rows are as many."""
    count = sum(len(space.choices[before]) for before in range(slot - 1))
    return count + (0 < count == len(_own_widths(space, slot)) * _near(space, slot))


@lru_cache(maxsize=1024)
def _producers(space: SearchSpace, slot: int) -> tuple[int, ...]:
    """Slots that may be producers, the nearest first, up to one that sets the width in every subnet."""
    producers: list[int] = []
    for producer in range(slot - 1, -1, -1):
        producers.append(producer)
        if not any(space.holds(producer, choice) for choice in space.choices[producer]):
            break
    return tuple(producers)
