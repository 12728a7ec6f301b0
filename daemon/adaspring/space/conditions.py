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
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from adaspring.errors import SpaceError
from adaspring.space.lowering import lower_slot, max_input_width
from adaspring.space.space import SKIP, Genome, SearchSpace


class Conditions:
    """The rows that a genome selects, in tables of each length that there may be."""

    def __init__(self, selected: dict[int, list[int]]) -> None:
        """Take the rows by the number of rows that a table has."""
        self._selected = selected
        self._rows: dict[int, npt.NDArray[np.intp]] = {}

    def of(self, table: Sized) -> npt.NDArray[np.intp]:
        """The rows of a table that apply; their sum is what it says of the genome.

        Raises:
            SpaceError: If a table of that length belongs to another space.
        """
        length = len(table)
        rows = self._rows.get(length)
        if rows is None:
            if length not in self._selected:
                counts = " or ".join(map(str, sorted(self._selected)))
                raise SpaceError(f"a table of {length} rows belongs to another space: here it would have {counts}")
            # A layer has two tables, and a block several layers: most of them are of the same length.
            rows = self._rows[length] = np.array(self._selected[length], dtype=np.intp)
        return rows


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where a slot's rows stand.

    Attributes:
        own: Number of each width that the slot may have; that of a skip is 0.
        producers: Slots that may be producers, the nearest first, up to one that sets the width in every
            subnet, and where the rows of each begin.
        far: Slots that may stand farther upstream, and where the rows of each begin.
        near: Rows of all producers.
        plain: Rows for own width and producers.
        upstream: Rows for what is far upstream.
        joint: Joint rows.
    """

    own: dict[int, int]
    producers: tuple[tuple[int, int], ...]
    far: tuple[tuple[int, int], ...]
    near: int
    plain: int
    upstream: int
    joint: int


def condition_count(space: SearchSpace, slot: int, *, joint: bool = False, upstream: bool = False) -> int:
    """Rows of a table of a slot: with joint rows or without, with rows for what is far upstream or without.

    No two of these four are alike, but where there is nothing to tell apart.
    """
    layout = _layout(space, slot)
    return layout.plain + upstream * layout.upstream + joint * layout.joint


def condition_rows(space: SearchSpace, genome: Genome, slot: int) -> Conditions:
    """Rows that apply to a layer in a slot of a subnet; their sum is its statistics.

    Row 0 always applies, then one for the slot's own width, then one for the choice of
    each producer, the nearest first; the first slot has none. Behind them stand those of the
    slots farther upstream, and last the joint row.
    """
    layout, genes, choices = _layout(space, slot), genome.tolist(), space.choices
    own = layout.own[choices[slot][genes[slot]].width]
    rows, producers = [0, 1 + own], set()
    for producer, first in layout.producers:
        choice = choices[producer][genes[producer]]
        if choice is not SKIP:
            producers.add(producer)
            rows.append(first + genes[producer])
            if not space.holds(producer, choice):
                break
    far = [
        first + genes[before]
        for before, first in layout.far
        if before not in producers and choices[before][genes[before]] is not SKIP
    ]
    wide, joint = layout.plain + layout.upstream, []
    if producers:
        joint = [own * layout.near + rows[2] - 1 - len(layout.own)]
    return Conditions(
        {
            layout.plain: rows,
            layout.plain + layout.joint: rows + [layout.plain + row for row in joint],
            wide: rows + far,
            wide + layout.joint: rows + far + [wide + row for row in joint],
        }
    )


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


def statistics_count(space: SearchSpace, name: str, slot: int) -> int:
    """Rows of the statistics that are fitted to a layer: for all upstream, and joint rows where it has them."""
    return condition_count(space, slot, joint=name in joint_layers(space), upstream=True)


# Asked for every slot of every subnet that is assembled, so kept.
@lru_cache(maxsize=1024)
def _layout(space: SearchSpace, slot: int) -> _Layout:
    widths = sorted({choice.width for choice in space.choices[slot]})
    producers, end = [], 1 + len(widths)
    for producer in range(slot - 1, -1, -1):
        producers.append((producer, end))
        end += len(space.choices[producer])
        if not any(space.holds(producer, choice) for choice in space.choices[producer]):
            break
    near = end - 1 - len(widths)
    far, plain = [], end
    for before in range(slot - 1):
        far.append((before, end))
        end += len(space.choices[before])
    upstream, joint = end - plain, len(widths) * near
    # One too many where joint rows are as many: how many rows a table has must tell which it has.
    upstream += 0 < upstream == joint
    own = {width: number for number, width in enumerate(widths)}
    return _Layout(own, tuple(producers), tuple(far), near, plain, upstream, joint)
