"""How good a bundle is: its subnets as the daemon assembles them, held against the same subnets recalibrated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import msgspec
import numpy as np
import torch

from adaspring.bundle import Bundle
from adaspring.engine.onnx.engine import OnnxEngine
from adaspring.space import SKIP, Genome, SearchSpace, analytic_tables, subnet_costs
from adaspring.tables import SlotTable, build_atlas
from adaspring.workbench.accuracy import Array, Judgement, judge, percent_of, verdicts
from adaspring.workbench.data import Rows
from adaspring.workbench.sampling import diverse
from adaspring.workbench.supernet import Recorded, Weights, forward
from adaspring.workbench.train import accuracy_percent

#: Keeps the subnets of an evaluation apart from those that training drew.
SEED = 20_000

#: Training rows that a recalibration runs through a subnet, spread over groups and classes.
ROWS = 2048

#: Rows that many subnets are judged on at most, spread likewise: what they lose is told to a fraction of a point by
#: so many, and each of them runs twice. Subnets that are named are judged on all rows.
MANY_ROWS = 2500


class Gap(msgspec.Struct, frozen=True):
    """What some subnets lose beside a dearer way: accuracy by that minus accuracy at once, in points.

    The dearer way is a full recalibration (in float32 for every subnet), or float32 for an int8 subnet.

    Attributes:
        subnets: How many.
        median: Median.
        p95: 95th percentile.
        worst: The greatest loss.
        instant_median: Median of the accuracy at once, in percent.
        instant_least: Least of it.
    """

    subnets: int
    median: float
    p95: float
    worst: float
    instant_median: float
    instant_least: float


class SubnetReport(msgspec.Struct, frozen=True):
    """One subnet: its name, its accuracy at once and recalibrated, in percent, and its costs for one frame."""

    name: str
    instant_percent: float
    recalibrated_percent: float
    macs: int
    parameters: int
    peak_activation_elements: int


class Int8Report(msgspec.Struct, frozen=True):
    """What int8 costs.

    Attributes:
        full_percent: Accuracy of the full network in int8, in percent.
        random: What the random subnets lose in int8 beside themselves in float32.
    """

    full_percent: float
    random: Gap


class Evaluation(msgspec.Struct, frozen=True):
    """The outcome of an evaluation.

    Attributes:
        split: Rows that accuracy was measured on.
        rows: How many.
        many_rows: How many of them the random subnets and the front were judged on.
        full: The uncompressed network.
        median: The subnet with the median of MACs among the random ones.
        smallest: The least subnet.
        random: Gap over the random subnets.
        by_depth: The same over those of as many blocks, by their number.
        front: Gap over every subnet of the front of predicted accuracy against MACs.
        predictor: How well the accuracy of the random subnets was predicted.
        int8: What int8 costs; None where the bundle offers float32 alone.
    """

    split: str
    rows: int
    full: SubnetReport
    median: SubnetReport
    smallest: SubnetReport
    random: Gap
    by_depth: dict[int, Gap]
    front: Gap
    predictor: Judgement
    int8: Int8Report | None = None
    many_rows: int = 0


@dataclass(frozen=True, slots=True)
class Recalibration:
    """Full recalibration of batch norm: many training rows through the subnet.

    Attributes:
        space: The search space.
        weights: Weights of the bundle.
        train_x: Scaled training inputs.
        x: Scaled inputs to judge on.
        y: Their labels.
    """

    space: SearchSpace
    weights: Weights
    train_x: torch.Tensor
    x: torch.Tensor
    y: torch.Tensor

    @staticmethod
    def of(bundle: Bundle, train: Rows, rows: Rows) -> Recalibration:
        """Take weights and rows."""
        weights = {name: torch.from_numpy(array) for name, array in bundle.weights.items()}
        train_x, x = _scaled(bundle, train.thinned(ROWS)), _scaled(bundle, rows)
        return Recalibration(bundle.space, weights, train_x, x, torch.from_numpy(rows.y))

    def on(self, bundle: Bundle, rows: Rows) -> Recalibration:
        """The same, judged on other rows."""
        return replace(self, x=_scaled(bundle, rows), y=torch.from_numpy(rows.y))

    def accuracies(self, genomes: Genome, advance: Callable[[], None]) -> Array:
        """Accuracy of each of some subnets, in percent; ``advance`` is called after each."""
        percent = np.empty(len(genomes))
        for index, genome in enumerate(genomes):
            percent[index] = self.accuracy(genome)
            advance()
        return percent

    @torch.no_grad()
    def accuracy(self, genome: Genome) -> float:
        """Accuracy of a subnet after recalibration, in percent."""
        # All rows in one batch: the statistics of a layer then follow exactly from
        # those of the layers before it, with no running average between.
        statistics = Recorded()
        forward(self.space, self.weights, genome, self.train_x, statistics.record)
        return accuracy_percent(forward(self.space, self.weights, genome, self.x, statistics.apply), self.y)


def _scaled(bundle: Bundle, rows: Rows) -> torch.Tensor:
    scale = np.asarray(bundle.manifest.input.scale, dtype=np.float32)
    return torch.from_numpy(rows.inputs() * scale.reshape(-1, *(1,) * len(bundle.manifest.space.input_size)))


def evaluate(
    bundle: Bundle,
    train: Rows,
    rows: Rows,
    split: str,
    *,
    subnets: int = 100,
    advance: Callable[[], None] = lambda: None,
) -> Evaluation:
    """Evaluate a bundle.

    Args:
        bundle: The bundle, accuracy tables included.
        train: Training rows, for the recalibration.
        rows: Rows to judge on.
        split: Their name.
        subnets: Random subnets.
        advance: Called after every subnet that was measured.
    """
    space = bundle.space
    random, best = drawn(space, subnets), front(bundle)
    named = typical(space, subnets)
    some, engine = rows.thinned(MANY_ROWS), OnnxEngine(bundle)
    typical_ones, genomes = np.array([*named.values()]), np.concatenate([random, best])
    recalibration = Recalibration.of(bundle, train, rows)
    full, middle, smallest = (
        _report(space, *facts)
        for facts in zip(
            typical_ones,
            percent_of(verdicts(engine, typical_ones, rows)),
            recalibration.accuracies(typical_ones, advance),
            strict=True,
        )
    )
    right = verdicts(engine, genomes, some)
    instant = percent_of(right)
    recalibrated = recalibration.on(bundle, some).accuracies(genomes, advance)
    at_random, fronted = slice(0, subnets), slice(subnets, None)
    predicted = bundle.accuracy.percent.evaluate(space, random)
    return Evaluation(
        split=split,
        rows=len(rows),
        full=full,
        median=middle,
        smallest=smallest,
        random=_gap(instant[at_random], recalibrated[at_random]),
        by_depth=_by_depth(space, random, instant[at_random], recalibrated[at_random]),
        front=_gap(instant[fronted], recalibrated[fronted]),
        predictor=judge(predicted, right[at_random]),
        int8=_int8(bundle, random, rows, some),
        many_rows=len(some),
    )


def drawn(space: SearchSpace, subnets: int) -> Genome:
    """The random subnets of an evaluation, always the same."""
    return diverse(space, np.random.default_rng(SEED), subnets)


def typical(space: SearchSpace, subnets: int = 100) -> dict[str, Genome]:
    """Those that a card names: the full network, the median of MACs among the random ones, the smallest."""
    random = drawn(space, subnets)
    macs = np.array([subnet_costs(space, genome).macs for genome in random])
    return {"full": space.full(), "median size": random[np.argsort(macs)[subnets // 2]], "smallest": space.smallest()}


def front(bundle: Bundle) -> Genome:
    """The front that needs no device: predicted accuracy against MACs."""
    macs = SlotTable.of_macs(bundle.space, analytic_tables(bundle.space))
    return build_atlas(bundle.space, bundle.accuracy.percent, macs, macs, macs).genomes


def _int8(bundle: Bundle, random: Genome, rows: Rows, some: Rows) -> Int8Report | None:
    """The full network on all rows in int8, and random subnets on some, whatever their precision, in both."""
    space = bundle.space
    if "int8" not in space.spec.precisions:
        return None
    engine = OnnxEngine(bundle)

    def percent(genomes: Genome, precision: str, judged: Rows) -> Array:
        return percent_of(verdicts(engine, space.in_precision(genomes, precision), judged))

    full = float(percent(space.full()[None], "int8", rows)[0])
    return Int8Report(full, _gap(percent(random, "int8", some), percent(random, "float32", some)))


def _by_depth(space: SearchSpace, genomes: Genome, instant: Array, recalibrated: Array) -> dict[int, Gap]:
    depth = np.array([sum(choice is not SKIP for choice in space.chosen(genome)) for genome in genomes])
    return {
        blocks: _gap(instant[depth == blocks], recalibrated[depth == blocks]) for blocks in np.unique(depth).tolist()
    }


def _gap(instant: Array, recalibrated: Array) -> Gap:
    loss = recalibrated - instant
    return Gap(
        subnets=len(loss),
        median=float(np.median(loss)),
        p95=float(np.percentile(loss, 95)),
        worst=float(loss.max()),
        instant_median=float(np.median(instant)),
        instant_least=float(instant.min()),
    )


def _report(space: SearchSpace, genome: Genome, instant: float, recalibrated: float) -> SubnetReport:
    costs = subnet_costs(space, genome)
    return SubnetReport(
        space.format(genome),
        float(instant),
        float(recalibrated),
        costs.macs,
        costs.parameters,
        costs.peak_activation_elements,
    )
