"""Timing whole subnets in the engine that will serve them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import numpy.typing as npt

from adaspring.engine import Engine, Subnet
from adaspring.engine.base import warm
from adaspring.space import Genome

Array = npt.NDArray[np.float64]

#: Percentile of the runs of a subnet that counts as its latency. Interruptions only
#: ever add time, so a low percentile repeats far better than the median.
PERCENTILE = 20.0

#: Subnets that are timed in turn, one run each, so that a drift of the clock
#: frequency or a busy moment falls on all of them alike.
GROUP = 8


#: Sizes of batch that are measured, beside single frames.
BATCH_SIZES = (2, 4, 8, 16)
#: Longest time that a batch may take to be of use: whoever comes meanwhile waits, whatever its priority.
LONGEST_BATCH_US = 50_000.0


@dataclass(frozen=True, slots=True)
class Timings:
    """Measured latencies of subnets.

    Attributes:
        genomes: Shape ``(n, slots + 1)``.
        low_us: `PERCENTILE` of the runs at batch 1, in microseconds, shape ``(n,)``.
        tail_us: 95th percentile of the same runs, in microseconds, shape ``(n,)``.
    """

    genomes: Genome
    low_us: Array
    tail_us: Array

    def __len__(self) -> int:
        """Subnets measured."""
        return len(self.genomes)

    def joined(self, other: Timings) -> Timings:
        """These timings and others behind them."""
        return Timings(
            np.concatenate([self.genomes, other.genomes]),
            np.concatenate([self.low_us, other.low_us]),
            np.concatenate([self.tail_us, other.tail_us]),
        )


def time_group(
    engine: Engine,
    genomes: Genome,
    input_shape: tuple[int, ...],
    *,
    runs: int,
    clock: Callable[[], float] = perf_counter,
) -> Timings:
    """Prepare a few subnets and time them in turn.

    Args:
        engine: The engine that will serve them.
        genomes: Shape ``(n, slots + 1)``; n of about `GROUP`.
        input_shape: Shape of one sample.
        runs: Runs of each subnet.
        clock: In seconds.

    Raises:
        EngineError: If a subnet cannot be prepared.
    """
    subnets = [engine.prepare(genome).subnet for genome in genomes]
    # Noise, not zeros: zeros would make denormals and sparsity look quicker than life.
    batch = np.random.default_rng(0).standard_normal((1, *input_shape), dtype=np.float32)
    elapsed_us = np.array([[_time_run(subnet, batch, clock) for subnet in subnets] for _ in range(runs)])
    low, tail = np.percentile(elapsed_us, [PERCENTILE, 95.0], axis=0)
    return Timings(genomes, low, tail)


def measure_batch_curve(
    engine: Engine,
    genomes: Genome,
    input_shape: tuple[int, ...],
    *,
    runs: int,
    clock: Callable[[], float] = perf_counter,
) -> tuple[tuple[int, float], ...]:
    """Sizes of batch and their time over that of one frame: the median of some subnets.

    Args:
        engine: The engine that will serve them.
        genomes: Shape ``(n, slots + 1)``.
        input_shape: Shape of one sample.
        runs: Runs of each subnet with each size.
        clock: In seconds.

    Returns:
        The sizes of `BATCH_SIZES` whose batches take no longer than `LONGEST_BATCH_US`.

    Raises:
        EngineError: If a subnet cannot be prepared.
    """
    noise = np.random.default_rng(0).standard_normal((max(BATCH_SIZES), *input_shape), dtype=np.float32)
    costs: dict[int, list[float]] = {}
    for genome in genomes:
        subnet = engine.prepare(genome).subnet
        low_us = {1: _low_us(subnet, noise[:1], runs, clock)}
        for size in BATCH_SIZES:
            if low_us[1] * size > LONGEST_BATCH_US:
                break
            # Single frames between the batches, so that a drift of the clock frequency falls on both.
            single_us = min(low_us[1], _low_us(subnet, noise[:1], runs, clock))
            costs.setdefault(size, []).append(_low_us(subnet, noise[:size], runs, clock) / single_us)
    # A size that the slowest of them could not have is no size for all.
    return tuple((size, float(np.median(values))) for size, values in costs.items() if len(values) == len(genomes))


def time_all(
    engine: Engine,
    genomes: Genome,
    input_shape: tuple[int, ...],
    *,
    runs: int,
    clock: Callable[[], float] = perf_counter,
) -> Iterator[Timings]:
    """Time many subnets, group by group, as `time_group` does."""
    for start in range(0, len(genomes), GROUP):
        yield time_group(engine, genomes[start : start + GROUP], input_shape, runs=runs, clock=clock)


def _low_us(subnet: Subnet, batch: npt.NDArray[np.float32], runs: int, clock: Callable[[], float]) -> float:
    warm(subnet, batch)
    return float(np.percentile([_time_run(subnet, batch, clock) for _ in range(runs)], PERCENTILE))


def _time_run(subnet: Subnet, batch: npt.NDArray[np.float32], clock: Callable[[], float]) -> float:
    started = clock()
    subnet.run(batch)
    return (clock() - started) * 1e6
