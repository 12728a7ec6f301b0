"""Context traces from files: read line by line, told what is wrong with them, and turned into a day.

A trace is a CSV file whose columns are named like the fields of a context, or what
``adaspringctl record`` wrote. What a trace does not tell comes from a base scenario, and
that is told as well.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import inf, isfinite, nan
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from adaspring.errors import DataError
from adaspring.simulate.scenario import HOURS_OF_A_DAY, Activity, BatteryModel, Period, Scenario

Array = npt.NDArray[np.float64]

#: Columns that are understood; all but the time may be missing.
COLUMNS = (
    "time_s",
    "battery_percent",
    "external_power",
    "temperature_c",
    "memory_available_mib",
    "event_rate_hz",
)
#: What readings can be; others are no readings.
_POSSIBLE = {
    "battery_percent": (0.0, 100.0),
    "temperature_c": (-60.0, 150.0),
    "memory_available_mib": (0.0, inf),
    "event_rate_hz": (0.0, inf),
}
#: Two rows farther apart than this many usual steps have a gap between them, and than this many seconds.
GAP_STEPS, GAP_S = 20.0, 60.0
#: Event rates are held for so long: the grid of a day made from a trace.
GRID_S = 60.0
_HOUR_S = 3600.0
_TRUTHS = {"true": 1.0, "false": 0.0, "yes": 1.0, "no": 0.0}


@dataclass(frozen=True, slots=True)
class Trace:
    """Rows in order of time, unknown cells NaN.

    Attributes:
        columns: Arrays of equal length by name, ``time_s`` among them, strictly growing.
        gaps: Stretches without rows, as ``(from_s, to_s)``.
        findings: What was wrong or missing, each with its line.
    """

    columns: Mapping[str, Array]
    gaps: tuple[tuple[float, float], ...]
    findings: tuple[str, ...]

    @property
    def time_s(self) -> Array:
        """Time of each row."""
        return self.columns["time_s"]


def load_trace(path: Path) -> Trace:
    """Read a trace, and leave out what cannot honestly be replayed.

    Args:
        path: ``.csv`` with a heading, or ``.jsonl`` as ``adaspringctl record`` writes it.

    Raises:
        DataError: If there is no such file, or fewer than two rows of it can be used.
    """
    findings: list[str] = []
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = _recorded(file, findings) if path.suffix == ".jsonl" else _written(file, findings)
            columns, gaps = _ordered(rows, findings)
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such trace") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as a trace: {error}") from error
    if len(columns["time_s"]) < 2:  # noqa: PLR2004 - a stretch of time
        told = f": {findings[0]}" if findings else ""
        raise DataError(f"{path}: a trace needs at least two rows with a time{told}")
    return Trace(columns, gaps, tuple(findings))


def trace_of(columns: Mapping[str, Array]) -> Trace:
    """A trace from arrays in order of time.

    Args:
        columns: As those of `Trace`; those that are missing are unknown.
    """
    findings: list[str] = []
    names = [name for name in COLUMNS if name in columns]
    rows = (
        (number, {name: float(columns[name][number - 1]) for name in names})
        for number in range(1, len(columns["time_s"]) + 1)
    )
    ordered, gaps = _ordered(rows, findings)
    return Trace(ordered, gaps, tuple(findings))


def _written(lines: Iterator[str], findings: list[str]) -> Iterator[tuple[int, dict[str, float]]]:
    reader = csv.DictReader(lines)
    heading = reader.fieldnames or []
    if "time_s" not in heading:
        raise DataError(f"line 1: a trace needs the column time_s; there are {', '.join(heading) or 'none'}")
    unknown = [name for name in heading if name not in COLUMNS]
    if unknown:
        findings.append(f"line 1: unknown columns {', '.join(unknown)} are left out; known are {', '.join(COLUMNS)}")
    names = [name for name in heading if name in COLUMNS]
    for cells in reader:
        row: dict[str, float] = {}
        for name in names:
            row[name] = _number(cells[name] or "", name, reader.line_num, findings)
        if None in cells:
            findings.append(f"line {reader.line_num}: there are more cells than columns; those behind are left out")
        yield reader.line_num, row


def _recorded(lines: Iterator[str], findings: list[str]) -> Iterator[tuple[int, dict[str, float]]]:
    for number, line in enumerate(lines, start=1):
        try:
            event = msgspec.json.decode(line)
            if event.get("topic") != "context":
                continue
            context = event["data"]
            cells = {name: context.get(name) for name in COLUMNS[1:]}
            yield (
                number,
                {
                    "time_s": float(context["at_s"]),
                    **{name: nan if cell is None else float(cell) for name, cell in cells.items()},
                },
            )
        except (msgspec.DecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
            findings.append(f"line {number}: this is no event of a recording ({error}); it is left out")


def _number(text: str, name: str, line: int, findings: list[str]) -> float:
    text = text.strip()
    if not text:
        return nan
    try:
        value = _TRUTHS[text.lower()] if text.lower() in _TRUTHS else float(text)
    except ValueError:
        value = nan
    if isfinite(value):
        return value
    findings.append(f"line {line}: {name} {text!r} is no number; it counts as unknown")
    return nan


def _ordered(
    rows: Iterator[tuple[int, dict[str, float]]], findings: list[str]
) -> tuple[dict[str, Array], tuple[tuple[float, float], ...]]:
    kept: list[tuple[int, dict[str, float]]] = []
    for line, row in rows:
        if not isfinite(row["time_s"]):
            findings.append(f"line {line}: there is no time; the row is left out")
        elif kept and row["time_s"] <= kept[-1][1]["time_s"]:
            before = kept[-1][1]["time_s"]
            findings.append(f"line {line}: time goes from {before:.0f} s to {row['time_s']:.0f} s; the row is left out")
        else:
            kept.append((line, {name: _possible(value, name, line, findings) for name, value in row.items()}))
    columns = {name: np.array([row.get(name, nan) for _, row in kept]) for name in COLUMNS}
    steps = np.diff(columns["time_s"])
    longest = max(GAP_S, GAP_STEPS * float(np.median(steps))) if len(steps) else GAP_S
    gaps = []
    for index in np.flatnonzero(steps > longest).tolist():
        begin, end = columns["time_s"][index : index + 2].tolist()
        gaps.append((begin, end))
        findings.append(
            f"line {kept[index + 1][0]}: a gap of {(end - begin) / 60:.0f} min; no frames are counted in it"
        )
    return columns, tuple(gaps)


def _possible(value: float, name: str, line: int, findings: list[str]) -> float:
    """A reading, unknown where it cannot be one."""
    least, most = _POSSIBLE.get(name, (-inf, inf))
    if value < least or value > most:
        findings.append(f"line {line}: {name} cannot be {value:g}; it counts as unknown")
        return nan
    return value


def scenario_of(trace: Trace, base: Scenario) -> tuple[Scenario, tuple[str, ...]]:
    """A day as a trace recorded it, and what it had to take from elsewhere.

    Event rate, supply, charge and the warmth around the processor follow the trace. Load
    and heat of the replayed subnets come on top in the plant, so a trace that was recorded
    beside a running daemon errs on the heavy side.

    Args:
        trace: The trace.
        base: Physics of the device, and what the trace does not tell.
    """
    findings = list(trace.findings)
    time_s = trace.time_s - trace.time_s[0]
    if time_s[-1] > HOURS_OF_A_DAY * _HOUR_S:
        findings.append(f"the trace lasts {time_s[-1] / _HOUR_S:.0f} h; its first {HOURS_OF_A_DAY:.0f} are replayed")
    span = Period(0.0, min(time_s[-1] / _HOUR_S, HOURS_OF_A_DAY))
    missing = [name for name in COLUMNS[1:] if np.isnan(trace.columns[name]).all()]
    findings += [f"the trace does not tell {name}: that of scenario {base.title!r} stands in" for name in missing]
    battery = _battery(trace, time_s, base, span)
    thermal = base.thermal
    known = ~np.isnan(trace.columns["temperature_c"])
    if known.any():
        idle_c = trace.columns["temperature_c"][known] - thermal.idle_rise_c
        hours = time_s[known] / _HOUR_S
        points = tuple((float(hour), float(celsius)) for hour, celsius in zip(hours, idle_c, strict=True))
        thermal = msgspec.structs.replace(thermal, ambient=points)
    memory_mib = trace.columns["memory_available_mib"]
    memory = base.memory
    if not np.isnan(memory_mib).all():
        usual = min(float(np.nanmedian(memory_mib)), memory.total_mib)
        memory = msgspec.structs.replace(memory, available_mib=usual, short=())
    scenario = msgspec.structs.replace(
        base,
        title=f"a recorded trace of {time_s[-1] / _HOUR_S:.1f} h",
        span=span,
        battery=battery,
        thermal=thermal,
        memory=memory,
        activity=_activities(trace, time_s, base, span),
        dips=(),
        vanish=(),
    )
    return scenario, tuple(findings)


def _battery(trace: Trace, time_s: Array, base: Scenario, span: Period) -> BatteryModel:
    battery, percent = base.battery, trace.columns["battery_percent"]
    known = ~np.isnan(percent)
    plugged = [period for period in battery.plugged if period.to_h <= span.to_h]
    power = trace.columns["external_power"]
    if known.any():
        battery = msgspec.structs.replace(battery, start_percent=float(np.clip(percent[known][0], 0, 100)))
        steps_s = np.diff(time_s[known])
        rates = np.diff(percent[known]) / steps_s * _HOUR_S
        draining = rates <= 0
        if rates[draining].any():
            drain = -float(np.average(rates[draining], weights=steps_s[draining]))
            battery = msgspec.structs.replace(battery, idle_percent_per_h=drain)
        # A charge that grows is fed, whatever the supply says of itself.
        power = np.where(np.isnan(power) & known, np.gradient(np.where(known, percent, 0.0), time_s) > 0, power)
    if not np.isnan(power).all():
        plugged = _periods(time_s / _HOUR_S, np.nan_to_num(power) > 0, span)
    return msgspec.structs.replace(battery, plugged=tuple(plugged))


def _periods(hours: Array, on: npt.NDArray[np.bool_], span: Period) -> list[Period]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], on, [False]]).astype(np.int8)))
    ends = np.append(hours, span.to_h)
    periods = [(float(ends[first]), float(min(ends[last], span.to_h))) for first, last in edges.reshape(-1, 2)]
    return [Period(begin, end) for begin, end in periods if end > begin]


def _activities(trace: Trace, time_s: Array, base: Scenario, span: Period) -> tuple[Activity, ...]:
    rate = trace.columns["event_rate_hz"]
    starts = np.arange(0.0, span.to_h * _HOUR_S, GRID_S)
    rows = np.clip(np.searchsorted(time_s, starts, side="right") - 1, 0, len(time_s) - 1)
    base_hours = np.array([activity.from_h for activity in base.activity])
    found: list[Activity] = []
    for start, row in zip(starts.tolist(), rows.tolist(), strict=True):
        hour = start / _HOUR_S
        stand_in = base.activity[max(0, int(np.searchsorted(base_hours, base.span.from_h + hour, side="right")) - 1)]
        in_gap = any(begin - trace.time_s[0] <= start < end - trace.time_s[0] for begin, end in trace.gaps)
        hertz = 0.0 if in_gap else float(rate[row]) if isfinite(rate[row]) else stand_in.events_hz
        activity = Activity(hour, "gap" if in_gap else "recorded", hertz, 0.0)
        if not found or (found[-1].events_hz, found[-1].name) != (activity.events_hz, activity.name):
            found.append(activity)
    return tuple(found)
