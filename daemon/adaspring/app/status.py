"""What ``adaspringctl status`` shows."""

from __future__ import annotations

import msgspec

from adaspring.app.evolution import Evolution
from adaspring.context.model import Context, Reading
from adaspring.decide import Budgets, Prediction
from adaspring.serve.protocol import Statistics
from adaspring.tables import TableFacts


class Measured(msgspec.Struct, frozen=True):
    """Compute of recent frames of the active generation, in microseconds; None before the first."""

    frames: int
    latency_p20_us: float | None
    latency_p50_us: float | None
    latency_p95_us: float | None


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


class Status(msgspec.Struct, frozen=True):
    """The daemon at one moment.

    Attributes:
        version: Version of AdaSpring.
        model: Name of the bundle.
        bundle_version: Its version.
        device: Name of the device profile.
        engine: Engine with version and threads.
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
        requests: What happened on the inference socket since start.
        evolutions: Evolutions since start, confirmations of the running subnet counted.
        last_evolution: The newest.
    """

    version: str
    model: str
    bundle_version: str
    device: str
    engine: str
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
