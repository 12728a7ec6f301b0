"""Gauges for the live views: the context and the budgets that follow from it, and curves of what was."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from adaspring.app.status import Status
from adaspring.cli.render import bar, microseconds

#: Temperatures between which the bar of temperature runs, in degrees Celsius.
_COLD_C, _HOT_C = 30.0, 90.0
#: Shares above which heat and load, and below which a battery, are shown red.
_HOT_SHARE, _BUSY_SHARE, _LOW_SHARE = 0.6, 0.9, 0.3
#: Event rate that fills its bar.
_FULL_HZ = 100.0
_MIB_PER_GIB = 1024
_BLOCKS = " ▁▂▃▄▅▆▇█"
_LEVELS = len(_BLOCKS) - 1


def context_gauges(status: Status, width: int) -> Table:
    """What the device is going through, and the budgets that follow; ten lines.

    Args:
        status: Of the daemon.
        width: Of the bars, in characters; 0 for none.
    """
    context, budgets = status.context, status.budgets
    table = Table.grid(padding=(0, 1))
    for _ in range(3):
        table.add_column(no_wrap=True)

    def row(name: str, value: float | None, text: str, share: float | None = None, colour: str = "cyan") -> None:
        if value is None:
            table.add_row(name, _missing(), "")
        else:
            table.add_row(name, text, "" if share is None else bar(share, width, colour))

    charge = (context.battery_percent or 0.0) / 100
    row("battery", context.battery_percent, f"{charge:.0%}", charge, "red" if charge < _LOW_SHARE else "green")
    table.add_row("supply", _word(context.external_power, "plugged", "battery"))
    heat = context.temperature_c or 0.0
    warmth = (heat - _COLD_C) / (_HOT_C - _COLD_C)
    row("heat", context.temperature_c, f"{heat:.0f} °C", warmth, "red" if warmth > _HOT_SHARE else "green")
    table.add_row("throttled", _word(context.throttled, Text("yes", "bold red"), "no"))
    row("memory", context.memory_available_mib, _mebibytes(context.memory_available_mib or 0.0))
    load = (context.cpu_percent or 0.0) / 100
    row("load", context.cpu_percent, f"{load:.0%}", load, "red" if load > _BUSY_SHARE else "green")
    rate_hz = context.event_rate_hz or 0.0
    row("events", context.event_rate_hz, f"{rate_hz:.0f} Hz", rate_hz / _FULL_HZ)
    table.add_row("λ energy", f"{budgets.lambda_energy:.0%}", bar(budgets.lambda_energy, width, "magenta"))
    table.add_row("p95 ≤", microseconds(budgets.latency_p95_us))
    table.add_row("acc. ≥", f"{budgets.accuracy_percent:.1f} %")
    return table


def sparkline(values: Sequence[float | None], width: int, height: int, limit: float) -> list[Text]:
    """The newest values as a curve of blocks over zero, newest at the right.

    Args:
        values: Oldest first; None where nothing was known then.
        width: Characters of the curve, each one value.
        height: Lines of the curve.
        limit: Values above it are red.

    Returns:
        Its lines, from the top; the highest value fills them.
    """
    shown = list(values)[-width:]
    top = max((value for value in shown if value is not None), default=0.0)
    lines = [Text(" " * (width - len(shown)), no_wrap=True) for _ in range(height)]
    for value in shown:
        # What was measured shows at least a line of the lowest block: a blank means that nothing was.
        eighths = 0 if value is None else max(1, round(value / top * height * _LEVELS)) if top else 1
        colour = "red" if value is not None and value > limit else "cyan"
        for index, line in enumerate(reversed(lines)):
            line.append(_BLOCKS[min(max(eighths - index * _LEVELS, 0), _LEVELS)], colour)
    return lines


def _missing() -> Text:
    return Text("—", "bright_black")


def _word(value: bool | None, yes: str | Text, no: str) -> str | Text:  # noqa: FBT001 - a quantity of the context
    return _missing() if value is None else yes if value else no


def _mebibytes(value: float) -> str:
    return f"{value:.0f} MiB" if value < _MIB_PER_GIB else f"{value / _MIB_PER_GIB:.1f} GiB"
