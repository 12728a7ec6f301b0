"""Tables of one bundle on one device with one engine."""

from __future__ import annotations

import msgspec

from adaspring.tables.atlas import Atlas
from adaspring.tables.slot_table import SlotTable

#: Version of the file format of device tables; files of another are not read.
TABLES_VERSION = 2


class TableFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where device tables come from and how far to trust them.

    Attributes:
        version: Version of the file format.
        bundle: Digest of the bundle that was profiled.
        device: Name of the device profile.
        engine: Engine, its version and its thread count, for example ``"onnxruntime-1.32.0-t1"``.
        estimate: True where no subnet was measured and a roofline stands in.
        created: Wall clock, ISO 8601, UTC.
        subnets: Subnets measured.
        percentile: Percentile of the runs of a subnet that counts as its latency.
        tail_ratio: 95th percentile over that percentile, learned on this device.
        fit_mape_percent: Cross-validated error of the latency table; None for an estimate.
        fit_kendall_tau: Its rank correlation; None for an estimate.
        repeat_mape_percent: How much timing the same subnet again differs; None for an estimate.
        repeat_kendall_tau: Rank correlation of the two timings; None for an estimate.
        energy: ``"modelled"`` or ``"measured"``.
        session_mib: Memory of one prepared subnet beyond its parameters, in MiB; None where not measured.
        corrected: When entries were corrected from frames that were served, ISO 8601, UTC; empty if never.
        batch_curve: Sizes of batch and their time over that of one frame, the median of a few subnets;
            empty where not measured.
    """

    version: int
    bundle: str
    device: str
    engine: str
    estimate: bool
    created: str
    subnets: int
    percentile: float
    tail_ratio: float
    fit_mape_percent: float | None
    fit_kendall_tau: float | None
    repeat_mape_percent: float | None
    repeat_kendall_tau: float | None
    energy: str
    session_mib: float | None
    corrected: str = ""
    batch_curve: tuple[tuple[int, float], ...] = ()


class DeviceTables(msgspec.Struct, frozen=True):
    """Latency and energy of every subnet of a bundle on one device.

    Attributes:
        facts: Provenance and trust.
        latency_us: Low percentile of compute at batch 1, in microseconds.
        energy_mj: Energy of one frame, in millijoules.
        atlas: The Pareto front over these tables; None for an estimate, which starts at once.
    """

    facts: TableFacts
    latency_us: SlotTable
    energy_mj: SlotTable
    atlas: Atlas | None = None
