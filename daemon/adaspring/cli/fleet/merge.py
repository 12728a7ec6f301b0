"""Decision logs of many devices, merged: what each runs, how its tables drifted, where budgets were not met."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import msgspec
import numpy as np

from adaspring.app.decisions import DECISIONS, TABLES, KeptDecision, log_files
from adaspring.errors import TableError
from adaspring.profile import peek_tables
from adaspring.tables import SlotTable, TableFacts


class Point(msgspec.Struct, frozen=True):
    """The state of a device when it decided.

    Attributes:
        at: Wall clock, ISO 8601, UTC.
        latency_factor: Measured over predicted latency.
    """

    at: str
    latency_factor: float


class Served(msgspec.Struct, frozen=True):
    """What one model did on one device.

    Attributes:
        device: Name of its folder.
        model: What it serves.
        board: Device profile; empty where no tables came along.
        engine: With version and threads.
        bundle: Digest of the bundle.
        estimate: Whether it decides from an estimate instead of measured tables; None where no tables came along.
        created: When its tables were made, ISO 8601, UTC.
        corrected: When they were last corrected from served frames; empty if never.
        subnet: The newest decision's.
        first: When the oldest kept decision was made; empty where that was not kept.
        last: And the newest.
        decisions: How many there are.
        left_out: How many more were made that were not kept: too many in an hour for its disk.
        causes: How many by kind of cause.
        violations: Decisions that could not meet the budgets of their context.
        relaxed: How often which budget had to give.
        late: Decisions before which frames had taken longer than the context allowed.
        latency_factors: Least, greatest and newest factor of measured over predicted latency.
        typical_us: Latency of a subnet drawn at random, by the newest measured tables; None where there are none.
        tables_changed_percent: How it changed since the first measured tables of the same kind; None where there
            are no others.
        against_fleet_percent: By how much it lies above the median of the devices with the same board, engine and
            bundle; None where there is no other device.
        course: Factors over time, where the clock was kept.
    """

    device: str
    model: str
    board: str
    engine: str
    bundle: str
    estimate: bool | None
    created: str
    corrected: str
    subnet: str
    first: str
    last: str
    decisions: int
    left_out: int
    causes: dict[str, int]
    violations: int
    relaxed: dict[str, int]
    late: int
    latency_factors: tuple[float, float, float]
    typical_us: float | None
    tables_changed_percent: float | None
    against_fleet_percent: float | None
    course: tuple[Point, ...]


class Fleet(msgspec.Struct, frozen=True):
    """All devices.

    Attributes:
        served: One for each device and model, by name.
        findings: What could not be read.
    """

    served: tuple[Served, ...]
    findings: tuple[str, ...]


def merge(folder: Path) -> Fleet:
    """Read the decisions of every device.

    Args:
        folder: Holds a folder for each device, named after it; somewhere below lies what its daemon keeps in
            ``decisions/MODEL``.

    Raises:
        TableError: If there are no decisions.
    """
    findings: list[str] = []
    logs: dict[tuple[str, str], list[Path]] = defaultdict(list)
    for path in sorted(folder.rglob(DECISIONS)):
        parts = path.relative_to(folder).parts
        # Device, whatever lies between, model, fingerprint of the planner, file.
        if len(parts) >= len(("device", "model", "fingerprint", "file")):
            logs[parts[0], parts[-3]].append(path.parent)
    read = [_Log(device, model, planners, findings) for (device, model), planners in sorted(logs.items())]
    kept = [log for log in read if log.decisions]
    if not kept:
        raise TableError(
            f"there are no decisions below {folder}; it must hold a folder for each device, and below that what the"
            " daemon keeps in decisions/MODEL of its state folder"
        )
    typical: dict[_Kind, list[float]] = defaultdict(list)
    for log in kept:
        if log.measured:
            typical[log.measured[-1].kind].append(log.measured[-1].typical_us)
    return Fleet(tuple(log.told(typical) for log in kept), tuple(findings))


class _Kind(NamedTuple):
    """Devices of one kind should take equal times."""

    board: str
    engine: str
    bundle: str


class _Tables(NamedTuple):
    """What is of interest of device tables."""

    facts: TableFacts
    typical_us: float

    @property
    def kind(self) -> _Kind:
        return _Kind(self.facts.device, self.facts.engine, self.facts.bundle)


class _Log:
    """What one device has kept of one model."""

    def __init__(self, device: str, model: str, planners: Sequence[Path], findings: list[str]) -> None:
        self.device, self.model = device, model
        self.decisions: list[KeptDecision] = []
        tables: list[_Tables] = []
        for planner in planners:
            self.decisions += _decisions(planner, findings)
            try:
                found = peek_tables(planner / TABLES)
            except FileNotFoundError:
                findings.append(f"{planner / TABLES} is missing")
            except TableError as error:
                findings.append(str(error))
            else:
                tables.append(_Tables(found.facts, _typical(found.latency_us)))
        # Without a clock, as in older logs, the order of the files is all there is.
        self.decisions.sort(key=lambda decision: decision.at)
        tables.sort(key=lambda each: (each.facts.created, each.facts.corrected))
        self.newest = tables[-1] if tables else None
        self.measured = [each for each in tables if not each.facts.estimate]

    def told(self, typical: Mapping[_Kind, Sequence[float]]) -> Served:
        last = self.decisions[-1]
        facts = self.newest.facts if self.newest else None
        factors = [decision.corrections.latency_factor for decision in self.decisions]
        own = self.measured[-1] if self.measured else None
        before = [each for each in self.measured[:-1] if own and each.kind == own.kind]
        kin = typical[own.kind] if own else []
        return Served(
            device=self.device,
            model=self.model,
            board=facts.device if facts else "",
            engine=facts.engine if facts else "",
            bundle=facts.bundle if facts else "",
            estimate=facts.estimate if facts else None,
            created=facts.created if facts else "",
            corrected=facts.corrected if facts else "",
            subnet=last.text,
            first=self.decisions[0].at,
            last=last.at,
            decisions=len(self.decisions),
            left_out=sum(decision.left_out for decision in self.decisions),
            causes=_counted(decision.cause.kind for decision in self.decisions),
            violations=sum(bool(decision.relaxed) or not decision.feasible for decision in self.decisions),
            relaxed=_counted(each.quantity for decision in self.decisions for each in decision.relaxed),
            late=sum(_late(decision) for decision in self.decisions),
            latency_factors=(min(factors), max(factors), factors[-1]),
            typical_us=own.typical_us if own else None,
            tables_changed_percent=_above(own.typical_us, before[0].typical_us) if own and before else None,
            against_fleet_percent=_above(own.typical_us, median(kin)) if own and len(kin) > 1 else None,
            course=tuple(Point(each.at, each.corrections.latency_factor) for each in self.decisions if each.at),
        )


def _decisions(planner: Path, findings: list[str]) -> Iterator[KeptDecision]:
    decoder = msgspec.json.Decoder(KeptDecision)
    for path in log_files(planner):
        broken = []
        lines = path.read_bytes().splitlines()
        for number, line in enumerate(lines, start=1):
            try:
                yield decoder.decode(line)
            except msgspec.MsgspecError as error:  # noqa: PERF203 - each line is of use without the others
                broken.append(f"line {number}: {error}")
        if broken:
            # A device that lost power while it wrote leaves half a line, an older release lines of another kind.
            told = f"{len(broken)} of {len(lines)} lines are no decisions of this release"
            findings.append(f"{path}: {told}; the first is {broken[0]}")


def _typical(latency_us: SlotTable) -> float:
    """What a subnet takes whose choices are drawn at random, each slot's on its own."""
    legal, ends = np.isfinite(latency_us.values), np.isfinite(latency_us.head)
    slots = np.mean(latency_us.values, axis=(2, 3), where=legal).sum(axis=1)
    return float((slots + np.mean(latency_us.head, axis=1, where=ends)).mean())


def _above(value: float, usual: float) -> float:
    return 100.0 * (value / usual - 1.0)


def _late(decision: KeptDecision) -> bool:
    measured_us = decision.context.latency_p95_us
    return measured_us is not None and measured_us > decision.budgets.latency_p95_us


def _counted(names: Iterable[str]) -> dict[str, int]:
    return dict(Counter(names).most_common())
