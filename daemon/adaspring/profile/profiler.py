"""Profiling a bundle on this device: sample subnets, time them, fit tables."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from time import monotonic
from zipfile import BadZipFile

import msgspec
import numpy as np
import psutil

from adaspring.boards import DeviceProfile, frame_energy_mj, roofline_latency
from adaspring.bundle import Bundle
from adaspring.engine import Engine
from adaspring.errors import ProfileError
from adaspring.profile.measure import PERCENTILE, Timings, measure_batch_curve, time_all
from adaspring.profile.store import replace_file
from adaspring.space import Genome, SearchSpace, analytic_tables, subnet_costs
from adaspring.tables import (
    TABLES_VERSION,
    DeviceTables,
    Evidence,
    SlotTable,
    TableFacts,
    build_atlas,
    fit_residuals,
    fit_slot_table,
    kendall_tau,
)

#: Runs of each subnet. With 20, the 20th percentile is the fourth quickest.
RUNS = 20
#: Fewest subnets that tables are fitted to.
LEAST_SUBNETS = 60
#: Share of the subnets that is timed a second time, to know what a measurement is worth.
REPEATED = 0.08
#: Ratio of tail to low percentile where nothing was measured.
ESTIMATED_TAIL_RATIO = 1.5
#: Subnets whose batches are timed.
BATCH_SUBNETS = 6
#: Bytes of one weight or activation.
_ELEMENT_BYTES = {"float32": 4.0, "int8": 1.0}
#: How often what was measured is put aside, in seconds, so that a cut loses little.
CHECKPOINT_S = 10.0

#: Told after every group: subnets done and subnets wanted.
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to measure.

    Attributes:
        subnets: Subnets to time, repeats not counted.
        limit_s: When to stop with what there is; None for no limit.
        seed: Seed of the sample.
    """

    subnets: int = 4000
    limit_s: float | None = None
    seed: int = 0


def profile_bundle(
    bundle: Bundle,
    engine: Engine,
    board: DeviceProfile,
    plan: Plan,
    *,
    partial: Path | None = None,
    progress: Progress | None = None,
    clock: Callable[[], float] = monotonic,
) -> DeviceTables:
    """Measure a bundle on this device and fit its tables.

    Args:
        bundle: The bundle.
        engine: The engine that will serve it.
        board: Profile of the device, for the energy model.
        plan: How much to measure.
        partial: File that holds what was measured so far; a run that was cut goes on
            from it. None keeps nothing.
        progress: Called after every group of subnets.
        clock: Monotonic, in seconds.

    Raises:
        ProfileError: If too little could be measured in the time.
        EngineError: If a subnet cannot be prepared.
    """
    space = bundle.space
    # First of all: later on the allocator holds free memory that hides what a subnet takes.
    session_mib = _session_mib(space, engine)
    genomes = sample(space, plan)
    wanted = len(genomes) + _repeats(len(genomes))
    shape = bundle.manifest.input.shape
    timings = _resume(partial, genomes)
    deadline_s = None if plan.limit_s is None else clock() + plan.limit_s
    saved_s = clock()
    for group in time_all(engine, genomes[len(timings) :], shape, runs=RUNS):
        timings = timings.joined(group)
        if progress is not None:
            progress(len(timings), wanted)
        if partial is not None and clock() - saved_s > CHECKPOINT_S:
            _save_partial(partial, timings)
            saved_s = clock()
        if deadline_s is not None and clock() > deadline_s:
            break
    if len(timings) < LEAST_SUBNETS:
        raise ProfileError(
            f"{len(timings)} subnets were timed, and tables need at least {LEAST_SUBNETS}: give more time (--limit) "
            "or let the daemon go on in the background"
        )
    # Again and last of all, as far in time from the first measurement as can be.
    again = _joined(time_all(engine, timings.genomes[: _repeats(len(timings))], shape, runs=RUNS))
    curve = measure_batch_curve(engine, timings.genomes[:BATCH_SUBNETS], shape, runs=RUNS)
    tables = _fit(bundle, engine, board, timings, again, session_mib, curve)
    if partial is not None:
        partial.unlink(missing_ok=True)
    if progress is not None:
        progress(wanted, wanted)
    return tables


def estimate_tables(bundle: Bundle, engine_name: str, board: DeviceProfile) -> DeviceTables:
    """Roofline tables to start with where nothing was measured; marked as an estimate."""
    facts = TableFacts(
        version=TABLES_VERSION,
        bundle=bundle.digest,
        device=board.name,
        engine=engine_name,
        estimate=True,
        created=_now(),
        subnets=0,
        percentile=PERCENTILE,
        tail_ratio=ESTIMATED_TAIL_RATIO,
        fit_mape_percent=None,
        fit_kendall_tau=None,
        repeat_mape_percent=None,
        repeat_kendall_tau=None,
        energy="modelled",
        session_mib=None,
    )
    latency = roofline_latency(bundle.space, board)
    return DeviceTables(facts, latency, energy_table(bundle.space, board, latency))


def sample(space: SearchSpace, plan: Plan) -> Genome:
    """Subnets to measure: the two extremes and random ones, in a seeded order."""
    drawn = space.random(np.random.default_rng(plan.seed), max(plan.subnets - 2, 0))
    return np.concatenate([space.full()[None], space.smallest()[None], drawn])


def energy_table(space: SearchSpace, board: DeviceProfile, latency_us: SlotTable) -> SlotTable:
    """Modelled energy of one frame, entry by entry, from latency and memory traffic."""
    analytic = analytic_tables(space)
    bytes_each = np.array([_ELEMENT_BYTES[precision] for precision in space.spec.precisions])
    weights = bytes_each[:, None, None, None] * analytic.parameters
    traffic = bytes_each[:, None, None, None] * analytic.traffic
    values = frame_energy_mj(board, latency_us.values, weights, traffic)
    head_weights = bytes_each[:, None] * analytic.head_parameters
    head = frame_energy_mj(board, latency_us.head, head_weights, np.zeros_like(head_weights))
    return SlotTable(values, head)


def _repeats(count: int) -> int:
    return max(2, round(REPEATED * count))


def _joined(groups: Iterable[Timings]) -> Timings:
    first, *rest = groups
    for group in rest:
        first = first.joined(group)
    return first


def _fit(  # noqa: PLR0917 - everything that was measured, in the order in which it was
    bundle: Bundle,
    engine: Engine,
    board: DeviceProfile,
    timings: Timings,
    again: Timings,
    session_mib: float,
    curve: tuple[tuple[int, float], ...],
) -> DeviceTables:
    space = bundle.space
    prior = SlotTable.of_macs(space, analytic_tables(space))
    fit = fit_slot_table(space, timings.genomes, timings.low_us, prior, relative=True)
    before_us = timings.low_us[: len(again)]
    facts = TableFacts(
        version=TABLES_VERSION,
        bundle=bundle.digest,
        device=board.name,
        engine=engine.name,
        estimate=False,
        created=_now(),
        subnets=len(timings),
        percentile=PERCENTILE,
        tail_ratio=float(max(1.0, np.median(timings.tail_us / timings.low_us))),
        fit_mape_percent=fit.mape_percent,
        fit_kendall_tau=fit.kendall_tau,
        repeat_mape_percent=float(100 * np.mean(np.abs(again.low_us - before_us) / before_us)),
        repeat_kendall_tau=kendall_tau(again.low_us, before_us),
        energy="modelled",
        session_mib=session_mib,
        batch_curve=curve,
    )
    return with_atlas(bundle, DeviceTables(facts, fit.table, energy_table(space, board, fit.table)))


def with_atlas(bundle: Bundle, tables: DeviceTables) -> DeviceTables:
    """The same tables with the atlas built over them."""
    parameters = SlotTable.of_parameters(bundle.space, analytic_tables(bundle.space))
    atlas = build_atlas(bundle.space, bundle.accuracy.percent, tables.latency_us, tables.energy_mj, parameters)
    return msgspec.structs.replace(tables, atlas=atlas)


def correct_tables(
    bundle: Bundle, board: DeviceProfile, tables: DeviceTables, evidence: Iterable[Evidence]
) -> DeviceTables | None:
    """Tables with single entries corrected from what served subnets took, and a new atlas over them.

    Args:
        bundle: The bundle.
        board: Profile of the device, for the energy model.
        tables: As measured.
        evidence: What subnets took.

    Returns:
        None where the evidence corrects nothing.
    """
    fit = fit_residuals(bundle.space, tables.latency_us, evidence)
    if fit is None:
        return None
    facts = msgspec.structs.replace(tables.facts, corrected=_now())
    return with_atlas(bundle, DeviceTables(facts, fit.table, energy_table(bundle.space, board, fit.table)))


def _session_mib(space: SearchSpace, engine: Engine, count: int = 64) -> float:
    """Memory that a prepared subnet takes beyond its parameters, in MiB; measured on this process."""
    genomes = space.random(np.random.default_rng(1), count)
    process = psutil.Process()
    before = process.memory_info().rss
    held = [engine.prepare(genome) for genome in genomes]
    grown = process.memory_info().rss - before
    sizes = [_ELEMENT_BYTES[space.precision(genome)] * subnet_costs(space, genome).parameters for genome in genomes]
    return float(max(0.0, (grown - sum(sizes)) / len(held) / 2**20))


def _resume(partial: Path | None, order: Genome) -> Timings:
    empty = Timings(order[:0], np.empty(0), np.empty(0))
    if partial is None:
        return empty
    try:
        with partial.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            timings = Timings(arrays["genomes"], arrays["low_us"], arrays["tail_us"])
    except (OSError, KeyError, ValueError, EOFError, BadZipFile):
        return empty
    # Another plan or seed draws other subnets: what was measured then does not count.
    same = len(timings) <= len(order) and np.array_equal(timings.genomes, order[: len(timings)])
    return timings if same else empty


def _save_partial(path: Path, timings: Timings) -> None:
    content = io.BytesIO()
    np.savez(content, genomes=timings.genomes, low_us=timings.low_us, tail_us=timings.tail_us)
    replace_file(path, content.getvalue())


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
