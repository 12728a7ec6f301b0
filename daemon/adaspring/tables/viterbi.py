"""Exact optima of additive costs: a Viterbi pass whose state is the running width.

The space is unrolled once into a *trellis*. Its states are the pairs (precision,
running width) that can reach a slot; an *edge* is one choice made in one state. A
subnet is a path of one edge per slot and a last one through the head, and an
additive cost is one number per edge. A skip leads to the same running width behind
the slot, so depth and width are searched together, and exactly.

Where a table tells what blocks do to those that follow them, states carry the block
before as well: some more of them, and what two blocks do together adds up exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from adaspring.errors import TableError
from adaspring.space import SKIP, Genome, SearchSpace
from adaspring.tables.slot_table import SlotTable

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]
#: Running width, and the block before where tables hold pairs.
State = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Stage:
    """One slot of the trellis; the last stage is the head, with one choice in each state.

    Attributes:
        edges: Where its edges stand among all; they are ordered by choice, then state.
        states: Where the states at its input stand among all.
        ends: Where the states behind it stand among all.
        offers: State plus this is the edge of a choice in it, shape ``(C,)``.
        successor: State behind each edge, counted within `ends`, shape ``(C, n)``.
    """

    edges: slice
    states: slice
    ends: slice
    offers: Indices
    successor: Indices


@dataclass(frozen=True, slots=True)
class Paths:
    """The cheapest path for each of a batch of costs.

    Attributes:
        edges: Edges of each path, shape ``(B, slots + 1)``.
        values: Cost of each path, shape ``(B,)``; infinite where every path is masked.
        to_go: Least cost from each state to the end, shape ``(states, B)``.
    """

    edges: Indices
    values: Array
    to_go: Array


class Trellis:
    """A search space unrolled into states and edges.

    Attributes:
        space: The space.
        stages: One for each slot, then the head.
        edge_count: Number of edges, ``E``.
        state_count: Number of states; the last is the end of every path.
        starts: Number of states before the first slot: one for each precision.
        tail: State that each edge leaves, shape ``(E,)``.
        tip: State that each edge reaches, shape ``(E,)``.
    """

    def __init__(self, space: SearchSpace, *tables: SlotTable) -> None:
        """Unroll a space.

        Args:
            space: The space.
            tables: Those that will be packed; any, if none of them holds pairs.
        """
        self.space = space
        self.starts = len(space.spec.precisions)
        self._paired = any(table.pairs is not None for table in tables)
        self._states = self._reached()
        stages: list[Stage] = []
        first_edge = first_state = 0
        for index in range(len(self._states)):
            successor = self._successor(index)
            count, states = successor.shape
            behind = first_state + states
            ends = len(self._states[index + 1]) * self.starts if index < space.slot_count else 1
            stages.append(
                Stage(
                    edges=slice(first_edge, first_edge + successor.size),
                    states=slice(first_state, behind),
                    ends=slice(behind, behind + ends),
                    offers=first_edge - first_state + np.arange(count) * states,
                    successor=successor,
                )
            )
            first_edge += successor.size
            first_state = behind
        self.stages = tuple(stages)
        self.edge_count = first_edge
        self.state_count = first_state + 1
        self.tip: Indices = np.concatenate([stage.ends.start + stage.successor.ravel() for stage in stages])
        self.tail: Indices = np.concatenate(
            [np.tile(np.arange(stage.states.start, stage.states.stop), len(stage.successor)) for stage in stages]
        )
        self._choice = np.concatenate(
            [np.repeat(np.arange(len(stage.successor)), stage.successor.shape[1]) for stage in stages]
        ).astype(np.int16)

    def _reached(self) -> list[list[State]]:
        """States at the input of every slot and of the head, each in order."""
        reached = [[(self.space.width_index(self.space.spec.input_channels), int(self.space.first_choice[-1]))]]
        for slot in range(self.space.slot_count):
            choices = range(int(self.space.choice_counts[slot]))
            behind = {self._behind(slot, state, choice) for state in reached[slot] for choice in choices}
            reached.append(sorted(behind))
        return reached

    def _behind(self, slot: int, state: State, choice: int) -> State:
        width, before = state
        if self._paired and self.space.choices[slot][choice] is not SKIP:
            before = int(self.space.first_choice[slot]) + choice
        return int(self.space.next_width[slot, width, choice]), before

    def _successor(self, index: int) -> Indices:
        states = self._states[index]
        if index == self.space.slot_count:
            return np.zeros((1, self.starts * len(states)), dtype=np.intp)
        rank = {state: place for place, state in enumerate(self._states[index + 1])}
        choices = range(int(self.space.choice_counts[index]))
        reached = np.array([[rank[self._behind(index, state, choice)] for state in states] for choice in choices])
        # The precision is carried along: its states never meet those of another.
        block = np.arange(self.starts)[:, None] * len(rank)
        successor: Indices = (block + reached[:, None, :]).reshape(len(choices), -1)
        return successor

    def pack(self, table: SlotTable) -> Array:
        """A table as one number per edge, shape ``(E,)``.

        Raises:
            TableError: If it holds pairs, and the trellis was unrolled for tables without.
        """
        if table.pairs is not None and not self._paired:
            raise TableError("a table with pairs of blocks needs a trellis that was unrolled for it")
        columns = []
        for slot, stage in enumerate(self.stages):
            widths, before = np.array(self._states[slot]).T
            if slot == self.space.slot_count:
                values = table.head[:, widths, None]
            else:
                values = table.values[:, slot, widths, : len(stage.successor)]
            if table.pairs is not None:
                first = self.space.first_choice[slot]
                values = values + table.pairs[before, first : first + len(stage.successor)]
            columns.append(np.moveaxis(values, 2, 0).ravel())
        return np.concatenate(columns)

    def edges(self, genomes: Genome) -> Indices:
        """The paths of genomes of shape ``(n, slots + 1)``; same shape."""
        paths = np.empty(genomes.shape, dtype=np.intp)
        state = genomes[:, -1].astype(np.intp)
        for index, stage in enumerate(self.stages[:-1]):
            paths[:, index] = stage.offers[genomes[:, index]] + state
            state = self.tip[paths[:, index]]
        paths[:, -1] = self.stages[-1].offers[0] + state
        return paths

    def genomes(self, edges: Indices) -> Genome:
        """The genomes of paths of shape ``(n, slots + 1)``; same shape."""
        genomes = self._choice[edges]
        genomes[:, -1] = self.tail[edges[:, 0]]
        return genomes

    def solve(self, costs: Array) -> Paths:
        """The cheapest path for each of a batch of costs, over all precisions.

        Among choices of equal cost the first is taken.

        Args:
            costs: One column per lane, shape ``(E, B)``; infinite where an edge is
                masked. For multipliers over packed tables: ``packed @ multipliers``.
        """
        batch = costs.shape[1]
        to_go = np.empty((self.state_count, batch))
        to_go[-1] = 0.0
        best: list[Indices] = []
        for stage in reversed(self.stages):
            values = to_go[stage.ends].take(stage.successor, axis=0)
            values += costs[stage.edges].reshape(values.shape)
            best.append(values.argmin(axis=0))
            np.minimum.reduce(values, axis=0, out=to_go[stage.states])
        lanes = np.arange(batch)
        edges = np.empty((batch, len(self.stages)), dtype=np.intp)
        state = to_go[: self.starts].argmin(axis=0)
        least = to_go[state, lanes]
        for index, stage in enumerate(self.stages):
            choice = best.pop()[state - stage.states.start, lanes]
            edges[:, index] = stage.offers.take(choice) + state
            state = self.tip.take(edges[:, index])
        return Paths(edges, least, to_go)

    def check(self, table: SlotTable, name: str) -> None:
        """Refuse a table by which some subnet takes less than nothing.

        Single entries may be negative: a fit sets neighbours off against each other. Whole subnets may not.

        Raises:
            TableError: With the name, the subnet and what it would take.
        """
        paths = self.solve(self.pack(table)[:, None])
        if paths.values[0] < 0:
            subnet = self.space.format(self.genomes(paths.edges)[0])
            raise TableError(f"table {name}: subnet {subnet} comes out negative, at {paths.values[0]:.4g}")

    def detour(self, costs: Array, to_go: Array) -> Array:
        """By how much each edge exceeds the best way on from the state that it leaves.

        None is negative, and along a path they add up to the cost of the path less
        the least cost from its first state.

        Args:
            costs: Shape ``(E,)`` or ``(E, B)``; infinite where an edge is masked.
            to_go: Least costs to the end for them, as `solve` gives them.
        """
        # A state from which every way on is masked is never left, whatever its edges say.
        known = np.where(np.isfinite(to_go), to_go, 0.0)
        excess: Array = costs + to_go.take(self.tip, axis=0) - known.take(self.tail, axis=0)
        return excess
