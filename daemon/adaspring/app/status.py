"""What ``adaspringctl status`` shows."""

from __future__ import annotations

import msgspec

from adaspring.app.evolution import Evolution
from adaspring.context.model import Context, Reading
from adaspring.decide import Prediction
from adaspring.serve.protocol import Statistics
from adaspring.tables import TableFacts


class Measured(msgspec.Struct, frozen=True):
    """Compute of recent frames of the active generation, in microseconds; None before the first."""

    frames: int
    latency_p20_us: float | None
    latency_p50_us: float | None
    latency_p95_us: float | None


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
    slots: tuple[str, ...]
    generation: int
    pinned: bool
    profiling: bool
    predicted: Prediction
    measured: Measured
    latency_correction: float
    context: Context
    readings: dict[str, Reading]
    tables: TableFacts
    requests: Statistics
    evolutions: int
    last_evolution: Evolution
