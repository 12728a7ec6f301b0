"""Instances of the search: of a given size, seeded, under three tight budgets.

Half of them hold synthetic tables. The other half are put together from the tables of
the bundles that ship with the project: each slot borrows all its entries (accuracy,
latency, energy, parameters, activations) from one slot of a bundle, for choices drawn
from those of that slot. So the figures are real ones, and their arrangement is drawn.
They are those of this machine, measured on first use, so on another machine, or with other
bundles, that half differs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from adaspring.app.locate import find_board, find_tables
from adaspring.bundle import Bundle, load_bundle
from adaspring.decide.problem import ACCURACY, ENERGY, LATENCY, MEMORY, QUANTITIES, Problem
from adaspring.engine import make_engine
from adaspring.resources import resource
from adaspring.space import SearchSpace, SlotSpec, SpaceSpec, analytic_tables
from adaspring.tables import SlotTable
from benchmarks.harness import state

Array = npt.NDArray[np.float64]
Source = Literal["synthetic", "bundles"]

#: Slots and choices of each slot.
SIZES = ((12, 6), (20, 8))
SOURCES: tuple[Source, ...] = ("synthetic", "bundles")
#: The three quantities that have a budget. The objective weighs accuracy and energy.
BOUND = (LATENCY, ENERGY, MEMORY)
#: One slot in so many halves the signal and cannot be skipped.
STAGE = 4
#: Channels at full width; widths are eighths of it.
WIDTH = 64
#: Importance of energy is drawn between this and one, as the policy has it.
LEAST_IMPORTANCE = 0.3
BYTES = 4
MIB = 2**20
#: Tables of an instance: those of `QUANTITIES`, then activations.
TABLES = len(QUANTITIES) + 1


@dataclass(frozen=True, slots=True)
class Instance:
    """One search.

    Attributes:
        slots: Slots of the space.
        source: Where its tables come from.
        problem: Space and tables.
        weights: Of the objective, per unit of each quantity, shape ``(4,)``.
        budgets: In the unit of each quantity, shape ``(4,)``; infinite for energy.
    """

    slots: int
    source: Source
    problem: Problem
    weights: Array
    budgets: Array


def instances(count: int) -> Iterator[Instance]:
    """So many instances, of every size and both sources in turn."""
    for seed in range(count):
        rng = np.random.default_rng(seed)
        slots, choices = SIZES[seed % len(SIZES)]
        space = space_of(slots, choices)
        source = SOURCES[seed // len(SIZES) % len(SOURCES)]
        tables = _synthetic(space, rng) if source == "synthetic" else _borrowed(space, rng)
        yield _bound(space, source, tables, rng)


@cache
def space_of(slots: int, choices: int) -> SearchSpace:
    """A space of so many choices in every slot: two operators in some widths, or one in more and a skip."""

    def slot(index: int) -> SlotSpec:
        skippable = index % STAGE != 0
        widths = choices - 1 if skippable else choices // 2
        return SlotSpec(
            width=WIDTH,
            stride=1 if skippable else 2,
            operators=("conv",) if skippable else ("conv", "dwsep"),
            ratios=tuple(1 - step / 8 for step in range(widths)),
            skippable=skippable,
        )

    made = tuple(slot(index) for index in range(slots))
    return SearchSpace(SpaceSpec(input_channels=8, input_size=(256,), outputs=10, slots=made))


def _synthetic(space: SearchSpace, rng: np.random.Generator) -> Array:
    """Costs that grow with the work, accuracy that is lost with it, all of them coupled to the running width."""
    analytic = analytic_tables(space)
    legal = space.legal
    work = np.where(legal, analytic.macs, 0.0) / analytic.macs[legal].mean()
    thinness = 1 - work / work.max(axis=(1, 2), keepdims=True)
    tables = np.stack(
        [
            thinness**2 * rng.uniform(0.3, 2.0, (space.slot_count, 1, 1)) * rng.lognormal(0.0, 0.4, legal.shape),
            (work + 0.2 * (work > 0)) * rng.lognormal(0.0, 0.3, legal.shape),
            (work + 0.1 * (work > 0)) * rng.lognormal(0.0, 0.3, legal.shape),
            np.where(legal, analytic.parameters, 0.0) * BYTES / MIB,
            np.where(legal, analytic.activations, 0.0) * BYTES / MIB,
        ]
    )
    tables[:, ~legal] = np.inf
    return tables


def _borrowed(space: SearchSpace, rng: np.random.Generator) -> Array:
    tables = np.full((TABLES, *space.legal.shape), np.inf)
    for slot, spec in enumerate(space.spec.slots):
        own = np.flatnonzero(space.legal[slot].any(axis=1))
        count = len(space.choices[slot]) - spec.skippable
        fitting = [entries for entries in _lenders()[spec.skippable] if entries.shape[2] >= count + spec.skippable]
        entries = fitting[rng.integers(len(fitting))]
        # A lender's first choice is its full one, its last the skip, where there is one.
        made = entries.shape[2] - spec.skippable
        others = np.sort(1 + rng.choice(made - 1, count - 1, replace=False))
        lent = np.concatenate([[0], others, [made] * spec.skippable]).astype(np.intp)
        widths = np.rint(np.linspace(0, entries.shape[1] - 1, len(own))).astype(np.intp)
        tables[:, slot, own[:, None], np.arange(len(lent))] = entries[:, widths[:, None], lent]
    return tables


@cache
def _lenders() -> dict[bool, list[Array]]:
    """Entries of every slot of all bundles, ``(5, running widths, choices)``, by whether it can be skipped."""
    lenders: dict[bool, list[Array]] = {False: [], True: []}
    for folder in sorted(resource("models").glob("*/bundle")):
        bundle = load_bundle(folder)
        for spec, entries in zip(bundle.space.spec.slots, _entries(bundle), strict=True):
            lenders[spec.skippable].append(entries)
    return lenders


def _entries(bundle: Bundle) -> Iterator[Array]:
    engine = make_engine("auto", bundle, threads=1)
    device = find_tables(bundle, find_board("auto", Path("/")), engine, state(bundle.manifest.name))
    analytic = analytic_tables(bundle.space)
    percent = np.where(bundle.space.legal, bundle.accuracy.percent.values[0], -np.inf)
    # A fit may set off one slot against its neighbours. Lent alone, a slot counts from its best choice at the
    # same running width, and none costs less than nothing.
    best = percent.max(axis=-1, keepdims=True, initial=-np.inf)
    tables = np.stack(
        [
            np.where(bundle.space.legal, best, 0.0) - percent,
            np.maximum(device.latency_us.values[0], 0.0),
            np.maximum(device.energy_mj.values[0], 0.0),
            analytic.parameters * BYTES / MIB,
            analytic.activations * BYTES / MIB,
        ]
    )
    for slot, choices in enumerate(bundle.space.choices):
        yield tables[:, slot, bundle.space.legal[slot].any(axis=1), : len(choices)]


def _bound(space: SearchSpace, source: Source, tables: Array, rng: np.random.Generator) -> Instance:
    head = np.zeros((1, len(space.widths)))
    use = {name: SlotTable(values[None], head) for name, values in zip(QUANTITIES, tables, strict=False)}
    problem = Problem(space, use, SlotTable(tables[-1][None], head))

    importance = rng.uniform(LEAST_IMPORTANCE, 1.0)
    weights = np.zeros(len(QUANTITIES))
    weights[ACCURACY] = (1 - importance) / problem.scale[ACCURACY]
    weights[ENERGY] = importance / float(use["energy"].evaluate(space, space.full()[None])[0])

    # Tight: between the use of the optimum without budgets and twice the least possible use.
    optimum = problem.evaluate(problem.trellis.solve(problem.use @ (weights * problem.scale)[:, None]).edges)
    wanted = problem.excess(optimum, np.zeros(len(QUANTITIES)))[0]
    least = problem.excess(problem.extremes, np.zeros(len(QUANTITIES))).min(axis=0)
    tight = wanted + rng.random(len(QUANTITIES)) * (2 * least - wanted)
    budgets = np.full(len(QUANTITIES), np.inf)
    budgets[list(BOUND)] = (tight * problem.scale)[list(BOUND)]
    return Instance(space.slot_count, source, problem, weights, budgets)
