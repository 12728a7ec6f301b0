"""What ``adaspringctl status`` and ``adaspringctl tables`` show."""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

from adaspring.app.evolution import Evolution
from adaspring.app.learning import Learner
from adaspring.app.totals import Totals
from adaspring.context.model import Context, Reading
from adaspring.decide import DEFAULT_PRIORITY, Budgets, Planner, Prediction
from adaspring.profile import PERCENTILE
from adaspring.serve.protocol import Statistics
from adaspring.space import Genome, SearchSpace
from adaspring.tables import EXPIRES_S, Learned, TableFacts

Array = npt.NDArray[np.float64]


class Measured(msgspec.Struct, frozen=True):
    """What recent frames of the active generation took.

    Attributes:
        frames: How many told.
        latency_p20_us: Compute, in microseconds; None before the first, like the two that follow.
        latency_p50_us: See above.
        latency_p95_us: See above.
        late_percent: Requests of a hundred that took longer than is asked for, waiting included; None before the first.
        asked_us: What is asked for: the policy's latency, or what clients allow if that is less.
    """

    frames: int
    latency_p20_us: float | None
    latency_p50_us: float | None
    latency_p95_us: float | None
    late_percent: float | None = None
    asked_us: float | None = None


def measured(recent_us: Array, total_us: Array, asked_us: float) -> Measured:
    """What recent frames took.

    Args:
        recent_us: Compute of each, in microseconds.
        total_us: From arrival to reply of each request, in microseconds.
        asked_us: In which they were to be answered.
    """
    low, median, tail = np.percentile(recent_us, [PERCENTILE, 50, 95]).tolist() if len(recent_us) else [None] * 3
    late_percent = 100 * float((total_us > asked_us).mean()) if len(total_us) else None
    return Measured(len(recent_us), low, median, tail, late_percent, asked_us)


class SlotView(msgspec.Struct, frozen=True):
    """What one slot of the active subnet does.

    Attributes:
        operator: Name of the operator; None for a skipped slot.
        width: Output channels; 0 for a skipped slot.
        full_width: Output channels of the uncompressed network.
    """

    operator: str | None
    width: int
    full_width: int


def slot_views(space: SearchSpace, genome: Genome) -> tuple[SlotView, ...]:
    """What each slot of a subnet does, in the order of the network."""
    return tuple(
        SlotView(choice.operator, choice.width, slot.width)
        for choice, slot in zip(space.chosen(genome), space.spec.slots, strict=True)
    )


class Status(msgspec.Struct, frozen=True):
    """The daemon and one of its models at one moment.

    Attributes:
        version: Version of AdaSpring.
        model: Name of the bundle.
        bundle_version: Its version.
        device: Name of the device profile.
        engine: Engine with version and threads.
        boot_id: Of the kernel, as in its records.
        uptime_s: Since start, in seconds.
        subnet: Active subnet in text form.
        slots: Its choice in each slot.
        generation: How-manieth active subnet since start.
        pinned: Whether an operator holds it.
        profiling: Whether the bundle is being profiled in the background.
        predicted: What the tables expect of it.
        full_energy_mj: What they expect a frame to cost the uncompressed network, in millijoules.
        budgets: Budgets of the last decision.
        measured: What its frames took.
        latency_correction: Measured over predicted latency, learned online.
        context: Smoothed context.
        readings: Last reading of every sensor.
        tables: Where the tables come from.
        requests: What happened on the inference socket since start; of several models, to this one.
        evolutions: Evolutions since start, confirmations of the running subnet counted.
        last_evolution: The newest.
        totals: What added up since the daemon began.
        models: Names of all models that are served, the highest priority first.
        priority: Of this model.
    """

    version: str
    model: str
    bundle_version: str
    device: str
    engine: str
    boot_id: str
    uptime_s: float
    subnet: str
    slots: tuple[SlotView, ...]
    generation: int
    pinned: bool
    profiling: bool
    predicted: Prediction
    full_energy_mj: float
    budgets: Budgets
    measured: Measured
    latency_correction: float
    context: Context
    readings: dict[str, Reading]
    tables: TableFacts
    requests: Statistics
    evolutions: int
    last_evolution: Evolution
    totals: Totals
    models: tuple[str, ...] = ()
    priority: int = DEFAULT_PRIORITY


class TablesView(msgspec.Struct, frozen=True):
    """The tables that are decided from and their corrections.

    Attributes:
        facts: Where the tables come from, and when single entries were last corrected.
        atlas_members: Subnets of the atlas; None where there is none yet.
        rebuilding: Whether tables are measured or corrected in the background.
        condition: The condition that holds now.
        latency: Factor of each condition in which frames were measured.
        energy: The same of energy; empty where no power sensor told enough.
        evidence: Subnets whose frames count towards correcting single entries.
        saved_at: When corrections were last written or read, in seconds since 1970.
        expires_s: What is not confirmed for so long is forgotten, in seconds.
    """

    facts: TableFacts
    atlas_members: int | None
    rebuilding: bool
    condition: str
    latency: tuple[Learned, ...]
    energy: tuple[Learned, ...]
    evidence: int
    saved_at: float
    expires_s: float


def tables_view(planner: Planner, learner: Learner, *, rebuilding: bool) -> TablesView:
    """The tables of a planner with what was learned about them."""
    atlas = planner.tables.atlas
    return TablesView(
        facts=planner.tables.facts,
        atlas_members=None if atlas is None else len(atlas),
        rebuilding=rebuilding,
        condition=planner.condition,
        latency=learner.latency.learned(),
        energy=learner.energy.learned(),
        evidence=len({piece.genome for piece in learner.evidence}),
        saved_at=learner.saved_at,
        expires_s=EXPIRES_S,
    )
