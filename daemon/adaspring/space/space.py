"""The search space, indexed: slots, choices, running widths, genomes.

A genome is an integer vector: one choice index per slot, then the index of the
precision. The *running width* at a slot is what the last slot that sets it put out;
every table of costs is indexed by (slot, running width, choice), because a skipped
slot passes the width of its predecessor on, and so does a residual block whose
shortcut is an identity.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from adaspring.errors import GenomeError
from adaspring.space.operators import OPERATORS
from adaspring.space.spec import CHANNEL_MULTIPLE, SlotSpec, SpaceSpec, validate

#: One genome, shape ``(slots + 1,)``, or a population, shape ``(n, slots + 1)``.
Genome: TypeAlias = npt.NDArray[np.int16]

SKIP_LETTER = "-"
_PRECISION_NAMES = {"float32": "f32", "int8": "i8"}
_PRECISIONS_BY_NAME = {name: precision for precision, name in _PRECISION_NAMES.items()}


@dataclass(frozen=True, slots=True)
class Choice:
    """What a slot may be: an operator at a width, or a skip.

    Attributes:
        operator: Name of the operator, or None for a skip.
        width: Output channels, or those inside a residual block that holds the running
            width; 0 for a skip, which passes its input on.
    """

    operator: str | None
    width: int

    def __str__(self) -> str:
        """Letter of the operator and width, or the sign of a skip."""
        return SKIP_LETTER if self.operator is None else f"{OPERATORS[self.operator].letter}{self.width}"


SKIP = Choice(None, 0)


def width_at(slot: SlotSpec, ratio: float) -> int:
    """Channels of a slot at a width ratio, rounded to the channel multiple."""
    rounded = int(slot.width * ratio / CHANNEL_MULTIPLE + 0.5) * CHANNEL_MULTIPLE
    return min(slot.width, max(CHANNEL_MULTIPLE, rounded))


def _choices_of(spec: SpaceSpec, slot: SlotSpec) -> tuple[Choice, ...]:
    choices = [
        Choice(operator, width)
        for operator, ratios in spec.offered(slot).items()
        for width in sorted({width_at(slot, ratio) for ratio in ratios}, reverse=True)
    ]
    return (*choices, SKIP) if slot.skippable else tuple(choices)


class SearchSpace:
    """A validated space with the arrays that make search quick.

    Attributes:
        spec: The declaration that it was built from.
        choices: The choices of each slot; index 0 is the first operator at full
            width, a skip stands last.
        sizes: Spatial extent at the input of each slot, then at the last output;
            length ``slots + 1``.
        widths: All running widths, ascending, shape ``(W,)``.
        choice_counts: Number of choices of each slot, shape ``(S,)``.
        first_choice: Where the choices of each slot begin, counted through all slots, and their number, ``N``; shape
            ``(S + 1,)``.
        skips: Which of all choices, counted so, are skips, shape ``(N,)``.
        legal: Whether (slot, running width, choice) can occur, shape ``(S, W, C)``.
        next_width: Index of the running width behind (slot, running width, choice),
            0 where illegal, shape ``(S, W, C)``.
    """

    def __init__(self, spec: SpaceSpec) -> None:
        """Index a space.

        Raises:
            SpaceError: If the declaration is impossible; the message names the slot.
        """
        validate(spec)
        self.spec = spec
        self.choices = tuple(_choices_of(spec, slot) for slot in spec.slots)
        sizes = [spec.input_size]
        for slot in spec.slots:
            sizes.append(tuple(-(-extent // slot.stride) for extent in sizes[-1]))
        self.sizes: tuple[tuple[int, ...], ...] = tuple(sizes)

        outputs = {choice.width for slot in range(self.slot_count) for choice in self._setting(slot)}
        self.widths: npt.NDArray[np.int64] = np.array(sorted(outputs | {spec.input_channels}), dtype=np.int64)
        self.choice_counts: npt.NDArray[np.int64] = np.array([len(choices) for choices in self.choices])
        self.first_choice: npt.NDArray[np.int64] = np.concatenate([[0], np.cumsum(self.choice_counts)])
        self._index_transitions()
        self._index_genomes()

    def _index_transitions(self) -> None:
        shape = (self.slot_count, len(self.widths), int(self.choice_counts.max()))
        self.legal: npt.NDArray[np.bool_] = np.zeros(shape, dtype=bool)
        self.next_width: npt.NDArray[np.int64] = np.zeros(shape, dtype=np.int64)
        reachable = {self.width_index(self.spec.input_channels)}
        for slot, choices in enumerate(self.choices):
            produced: set[int] = set()
            for incoming in reachable:
                for index, choice in enumerate(choices):
                    outgoing = incoming if self.holds(slot, choice) else self.width_index(choice.width)
                    self.legal[slot, incoming, index] = True
                    self.next_width[slot, incoming, index] = outgoing
                    produced.add(outgoing)
            reachable = produced
        self.final_widths: npt.NDArray[np.int64] = np.array(sorted(reachable))

    def _index_genomes(self) -> None:
        # Lookups for running_widths: what each choice puts out, and which hold what they get.
        count = int(self.choice_counts.max())
        self._output = np.zeros((self.slot_count, count), dtype=np.int64)
        self._holds = np.zeros((self.slot_count, count), dtype=bool)
        for slot, choices in enumerate(self.choices):
            for index, choice in enumerate(choices):
                self._holds[slot, index] = self.holds(slot, choice)
                self._output[slot, index] = 0 if self.holds(slot, choice) else self.width_index(choice.width)
        self.skips: npt.NDArray[np.bool_] = np.array([choice is SKIP for choices in self.choices for choice in choices])
        self._slot_axis = np.arange(self.slot_count)
        self._input_width = self.width_index(self.spec.input_channels)

    def holds(self, slot: int, choice: Choice) -> bool:
        """Whether a choice of a slot passes the running width on instead of setting it."""
        return choice is SKIP or self.spec.slots[slot].shortcut == "identity"

    def _setting(self, slot: int) -> list[Choice]:
        return [choice for choice in self.choices[slot] if not self.holds(slot, choice)]

    @property
    def slot_count(self) -> int:
        """Number of slots."""
        return len(self.spec.slots)

    @property
    def genome_length(self) -> int:
        """Length of a genome: one gene per slot and one for the precision."""
        return self.slot_count + 1

    @property
    def subnet_count(self) -> int:
        """Number of subnets in the space."""
        count = len(self.spec.precisions)
        for choices in self.choices:
            count *= len(choices)
        return count

    def width_index(self, channels: int) -> int:
        """Index of a running width in `widths`.

        Raises:
            GenomeError: If no slot of the space has that width.
        """
        index = int(np.searchsorted(self.widths, channels))
        if index == len(self.widths) or self.widths[index] != channels:
            raise GenomeError(f"no slot of this space has {channels} channels; widths are {self.widths.tolist()}")
        return index

    def full(self) -> Genome:
        """The uncompressed network: first operator and full width everywhere."""
        return np.zeros(self.genome_length, dtype=np.int16)

    def smallest(self) -> Genome:
        """The subnet that skips what it may and is narrowest elsewhere."""
        genome = self.full()
        for slot, choices in enumerate(self.choices):
            # A skip is last; otherwise the last is the last operator at its least width.
            genome[slot] = len(choices) - 1
        return genome

    def random(self, rng: np.random.Generator, count: int) -> Genome:
        """Draw genomes, each gene uniform and independent, shape ``(count, slots + 1)``."""
        limits = np.append(self.choice_counts, len(self.spec.precisions))
        return rng.integers(0, limits, size=(count, self.genome_length), dtype=np.int16)

    def running_widths(self, genomes: Genome) -> npt.NDArray[np.int64]:
        """Running width index at the input of every slot and behind the last.

        Args:
            genomes: Population of shape ``(n, slots + 1)``.

        Returns:
            Indices into `widths`, shape ``(n, slots + 1)``.
        """
        genes = genomes[:, : self.slot_count]
        holding = self._holds[self._slot_axis, genes]
        # The last slot that set the width, up to and including each; -1 means the input.
        last = np.maximum.accumulate(np.where(holding, -1, self._slot_axis), axis=1)
        produced = self._output[self._slot_axis, genes]
        behind = np.where(last < 0, self._input_width, np.take_along_axis(produced, np.maximum(last, 0), axis=1))
        widths = np.empty((len(genomes), self.genome_length), dtype=np.int64)
        widths[:, 0] = self._input_width
        widths[:, 1:] = behind
        return widths

    def blocks(self, genomes: Genome) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Which blocks follow each other when skipped slots are left out.

        Args:
            genomes: Population of shape ``(n, slots + 1)``.

        Returns:
            The block before each slot and before the head, and what stands there, both of shape ``(n, slots + 1)``.
            Choices are counted through all slots; their number stands for the input and for the head.
        """
        ends = int(self.first_choice[-1])
        here = np.full(genomes.shape, ends, dtype=np.int64)
        here[:, :-1] = self.first_choice[:-1] + genomes[:, :-1]
        last = np.maximum.accumulate(np.where(self.skips[here[:, :-1]], -1, self._slot_axis), axis=1)
        before = np.full_like(here, ends)
        before[:, 1:] = np.where(last < 0, ends, np.take_along_axis(here, np.maximum(last, 0), axis=1))
        return before, here

    def check(self, genome: Sequence[int] | Genome) -> Genome:
        """A genome as an array, refused if it names no subnet of this space.

        Raises:
            GenomeError: With the gene and its range.
        """
        if len(genome) != self.genome_length:
            raise GenomeError(f"a genome of this space has {self.genome_length} genes; this one has {len(genome)}")
        for slot, gene in enumerate(genome[:-1]):
            if not 0 <= gene < self.choice_counts[slot]:
                raise GenomeError(f"gene {slot} must lie in 0..{self.choice_counts[slot] - 1}; it is {gene}")
        if not 0 <= genome[-1] < len(self.spec.precisions):
            raise GenomeError(f"precision gene must lie in 0..{len(self.spec.precisions) - 1}; it is {genome[-1]}")
        return np.asarray(genome, dtype=np.int16)

    def chosen(self, genome: Genome) -> tuple[Choice, ...]:
        """The choice that a genome makes in each slot."""
        return tuple(choices[gene] for choices, gene in zip(self.choices, genome[:-1].tolist(), strict=True))

    def precision(self, genome: Genome) -> str:
        """The precision that a genome takes."""
        return self.spec.precisions[int(genome[-1])]

    def in_precision(self, genomes: Genome, precision: str) -> Genome:
        """The same subnet, or the same subnets, in a precision that is offered."""
        changed = genomes.copy()
        changed[..., -1] = self.spec.precisions.index(precision)
        return changed

    def format(self, genome: Genome) -> str:
        """Text form of a genome, for people, logs and the wire.

        Example: ``f32:c64.d32.-.r96`` is a full convolution of 64 channels, a
        depthwise-separable one of 32, a skip and a low-rank one of 96, in float32.
        """
        choices = ".".join(str(choice) for choice in self.chosen(genome))
        return f"{_PRECISION_NAMES[self.precision(genome)]}:{choices}"

    def parse(self, text: str) -> Genome:
        """The genome of a text form.

        Raises:
            GenomeError: If the text names no subnet of this space; says what would.
        """
        name, _, rest = text.partition(":")
        parts = rest.split(".")
        precision = _PRECISIONS_BY_NAME.get(name)
        if precision not in self.spec.precisions or len(parts) != self.slot_count:
            raise GenomeError(f"{text!r} is no genome of this space; one is {self.format(self.full())!r}")
        genome = self.full()
        genome[-1] = self.spec.precisions.index(precision)
        for slot, part in enumerate(parts):
            genome[slot] = self._parse_choice(slot, part)
        return genome

    def _parse_choice(self, slot: int, part: str) -> int:
        # Compared as text: int() raises an error of its own on thousands of digits.
        offered = [str(choice) for choice in self.choices[slot]]
        if part not in offered:
            raise GenomeError(f"slot {slot} does not offer {part!r}; it offers {' '.join(offered)}")
        return offered.index(part)
