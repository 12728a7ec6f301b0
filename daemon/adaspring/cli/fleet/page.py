"""A fleet as one page of HTML that needs nothing else."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from adaspring.cli.fleet.merge import Fleet, Served
from adaspring.simulate.page import Curve, bullets, document, plot, table

_HOUR_S = 3600.0
#: Points of a curve; more would be slow to draw.
_POINTS = 600
_OF_DRIFT = (
    "Factor: measured over predicted latency when a subnet was chosen; 1 where both agree. Typical: the latency of a"
    " subnet drawn at random, by the newest measured tables; its change since the first ones on this device, and how"
    " far it lies above the median of the devices with the same board, engine and bundle."
)
_OF_VIOLATIONS = (
    "Decisions whose context left no subnet within all budgets, by what had to give; and decisions before which frames"
    " had taken longer than the context allowed."
)


def fleet_page(fleet: Fleet) -> str:
    """The page: what runs where, how tables drifted, where budgets were not met."""
    return document(
        "Fleet",
        f"<p>{len({each.device for each in fleet.served})} devices, from the decisions that they have kept.</p>"
        + bullets(fleet.findings)
        + "<h2>Which boards run what</h2>"
        + _running(fleet.served)
        + f"<h2>Drift of tables</h2><p>{_OF_DRIFT}</p>"
        + _drift(fleet.served)
        + "".join(_courses(fleet.served))
        + f"<h2>Violations</h2><p>{_OF_VIOLATIONS}</p>"
        + _violations(fleet.served),
    )


def _running(served: Sequence[Served]) -> str:
    rows = [
        (
            each.device,
            each.board,
            f"{each.model} {each.bundle[:12]}",
            each.engine,
            {None: "missing", True: "estimated", False: "measured"}[each.estimate],
            each.subnet,
            _minute(each.last),
        )
        for each in sorted(served, key=lambda each: (each.board, each.model, each.device))
    ]
    headings = ("device", "board", "bundle", "engine", "tables", "subnet", "decided")
    return table(headings, rows, text=headings)


def _drift(served: Sequence[Served]) -> str:
    def strongest(each: Served) -> float:
        return -max(abs(each.latency_factors[2] - 1), *(abs(value or 0) / 100 for value in _changes(each)))

    rows = [
        (
            each.device,
            each.model,
            *(f"{factor:.2f}" for factor in each.latency_factors),
            "" if each.typical_us is None else f"{each.typical_us:,.0f}",
            *("" if value is None else f"{value:+.1f}" for value in _changes(each)),
            _minute(each.created),
            _minute(each.corrected),
        )
        for each in sorted(served, key=strongest)
    ]
    headings = (
        "device", "model", "least factor", "greatest", "newest", "typical us", "change %", "above fleet %", "measured",
        "corrected",
    )  # fmt: skip
    return table(headings, rows, text=("device", "model"))


def _changes(each: Served) -> tuple[float | None, float | None]:
    return each.tables_changed_percent, each.against_fleet_percent


def _courses(served: Sequence[Served]) -> list[str]:
    """Factors over time, a plot for each kind of board."""
    times = [point.at for each in served for point in each.course]
    if not times:
        return []
    began = datetime.fromisoformat(min(times))
    boards: dict[str, list[Curve]] = defaultdict(list)
    for each in served:
        points = each.course[:: max(1, len(each.course) // _POINTS)]
        if points:
            hours = [(datetime.fromisoformat(point.at) - began).total_seconds() / _HOUR_S for point in points]
            boards[each.board].append(Curve(each.device, hours, [point.latency_factor for point in points]))
    return [
        plot(f"factor on {board or 'unknown boards'}, hours since {_minute(min(times))}", curves)
        for board, curves in sorted(boards.items())
    ]


def _violations(served: Sequence[Served]) -> str:
    rows = [
        (
            each.device,
            each.model,
            f"{each.decisions:,}",
            f"{each.left_out:,}",
            f"{each.violations:,}",
            ", ".join(f"{name} {count}" for name, count in each.relaxed.items()),
            f"{each.late:,}",
            ", ".join(f"{name} {count}" for name, count in each.causes.items()),
        )
        for each in sorted(served, key=lambda each: -each.violations / each.decisions)
    ]
    headings = ("device", "model", "decisions", "left out", "violations", "relaxed", "late", "causes")
    return table(headings, rows, text=("device", "model", "relaxed", "causes"))


def _minute(at: str) -> str:
    return at[:16].replace("T", " ")
