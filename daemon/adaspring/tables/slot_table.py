"""A quantity that adds up along the slots: latency, energy, parameters, accuracy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from adaspring.errors import TableError
from adaspring.space import AnalyticTables, Genome, SearchSpace

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SlotTable:
    """A lookup table over (precision, slot, running width, choice).

    The value of a subnet is the sum of its entries along the slots, plus the entry
    of the head for the width that reaches it.

    Where more than the running width tells how a block does, a table also holds what each
    choice adds behind each that may stand before it, skipped slots left out.

    Attributes:
        values: Shape ``(P, S, W, C)``; infinity where the pair is illegal.
        head: Shape ``(P, W)``; holds the constant part as well.
        pairs: What is added by (block before, block), both counted through all slots as `SearchSpace.blocks`
            counts them, shape ``(N + 1, N + 1)``; the last row is the input, the last column the head, and
            a skip adds nothing. None where running widths tell all.
    """

    values: Array
    head: Array
    pairs: Array | None = None

    def evaluate(self, space: SearchSpace, genomes: Genome) -> Array:
        """The quantity for each genome of a population.

        Args:
            space: The space that the table was made for.
            genomes: Shape ``(n, slots + 1)``.

        Returns:
            Shape ``(n,)``.
        """
        widths = space.running_widths(genomes)
        precision = genomes[:, -1]
        slots = np.arange(space.slot_count)
        entries = self.values[precision[:, None], slots, widths[:, :-1], genomes[:, :-1]]
        total: Array = entries.sum(axis=1) + self.head[precision, widths[:, -1]]
        if self.pairs is not None:
            total += self.pairs[space.blocks(genomes)].sum(axis=1)
        return total

    def check(self, space: SearchSpace, name: str, *, non_negative: bool = True) -> None:
        """Refuse a table that does not fit its space or holds values that cannot be.

        Args:
            space: The space that it must fit.
            name: What to call it in the message.
            non_negative: Whether a whole subnet may not come out below zero.

        Raises:
            TableError: With the name and the first offending entry.
        """
        shape = (len(space.spec.precisions), *space.legal.shape)
        if self.values.shape != shape or self.head.shape != (shape[0], shape[2]):
            raise TableError(
                f"table {name}: shapes {self.values.shape} and {self.head.shape} do not fit the space, "
                f"which needs {shape} and {(shape[0], shape[2])}"
            )
        bad = np.argwhere(~np.isfinite(self.values) & space.legal)
        if len(bad):
            raise TableError(f"table {name}: entry {tuple(bad[0].tolist())} is not a finite number")
        if not np.isfinite(self.head[:, space.final_widths]).all():
            raise TableError(f"table {name}: the head holds a value that is not a finite number")
        blocks = int(space.first_choice[-1]) + 1
        pairs = np.zeros((blocks, blocks)) if self.pairs is None else self.pairs
        if pairs.shape != (blocks, blocks) or not np.isfinite(pairs).all() or pairs[:, :-1][:, space.skips].any():
            raise TableError(
                f"table {name}: pairs of blocks must be {blocks} by {blocks} finite numbers, with no skip behind any"
            )
        if non_negative and self.evaluate(space, np.stack([space.full(), space.smallest()])).min() < 0:
            raise TableError(f"table {name}: a subnet comes out negative")

    def scaled(self, factor: float) -> SlotTable:
        """The same table times a factor."""
        return SlotTable(self.values * factor, self.head * factor, None if self.pairs is None else self.pairs * factor)

    @staticmethod
    def of_parameters(space: SearchSpace, analytic: AnalyticTables) -> SlotTable:
        """Parameters (weights and folded biases) as a table, the same in every precision."""
        return SlotTable._stacked(space, analytic.parameters, analytic.head_parameters)

    @staticmethod
    def of_macs(space: SearchSpace, analytic: AnalyticTables) -> SlotTable:
        """Multiply-accumulates as a table, the same in every precision."""
        return SlotTable._stacked(space, analytic.macs, analytic.head_macs)

    @staticmethod
    def _stacked(space: SearchSpace, values: Array, head: Array) -> SlotTable:
        precisions = len(space.spec.precisions)
        return SlotTable(np.stack([values] * precisions), np.stack([head] * precisions))
