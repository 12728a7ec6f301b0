"""What ``adaspringctl top`` draws, from 80 columns and 24 lines on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import partial

from rich.console import Group, RenderableType
from rich.layout import Layout
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from adaspring.app.status import Status
from adaspring.cli.gauges import context_gauges, sparkline
from adaspring.cli.render import microseconds, slots_table
from adaspring.cli.top.feed import Feed, Happening

#: The least terminal that shows everything.
LEAST_COLUMNS, LEAST_LINES = 80, 24
#: From so many columns on evolutions tell their subnet, too.
_WIDE = 120
#: From so many columns on there is room between a frame and what it holds.
_ROOMY = 96
_LONGEST_BAR = 16
_HEADER_LINES = 2
#: Lines of the gauges with their frame; a network of more slots takes more.
_GAUGE_LINES = 12
_FRAME_LINES = _FRAME_COLUMNS = 2
#: Columns of context and subnet without their bars, and the least of what tells the frames.
_CONTEXT, _SUBNET, _FRAMES = 21, 20, 29
_CURVE_LINES = 2
#: Counts from here on are rounded.
_LONG_COUNT = 100_000


def screen(feed: Feed, width: int, trouble: str = "") -> RenderableType:
    """The whole screen.

    Args:
        feed: What is known of the daemon.
        width: Of the terminal, in columns.
        trouble: Why nothing newer is known; empty where all is well.
    """
    status = feed.status
    padding = int(width >= _ROOMY)
    context, subnet = _CONTEXT + 2 * padding, _SUBNET + 2 * padding
    spare = max(width, LEAST_COLUMNS) - context - subnet - 2 * padding
    bars = min(_LONGEST_BAR, (spare - _FRAMES) // 2)
    panel = partial(Panel, title_align="left", subtitle_align="right", border_style="blue", padding=(0, padding))
    layout = Layout()
    layout.split_column(
        Layout(_header(status, trouble), size=_HEADER_LINES),
        Layout(name="middle", size=max(_GAUGE_LINES, len(status.slots) + _FRAME_LINES)),
        Layout(
            panel(_happenings(feed.happenings, width), title=_evolutions_title(status), subtitle=_keys(status)),
            minimum_size=3,
        ),
    )
    layout["middle"].split_row(
        Layout(panel(context_gauges(status, bars), title="context"), size=context + bars),
        Layout(panel(slots_table(status.slots, bars), title="active subnet"), size=subnet + bars),
        Layout(panel(_frames(status, feed.latencies_us, spare - 2 * bars - _FRAME_COLUMNS), title="frames")),
    )
    return layout


def _header(status: Status, trouble: str) -> Group:
    who = Text.assemble(
        ("AdaSpring ", "bold green"),
        (f"{status.model} {status.bundle_version}", "bold"),
        f"  {status.device}  {status.engine}",
    )
    state = Text(trouble, "bold red") if trouble else Text(", ".join(_state(status)))
    up = Text(f"up {timedelta(seconds=int(status.uptime_s))}")
    return Group(_ends(who, up), _ends(Text(status.subnet, "bold cyan"), state))


def _ends(left: Text, right: Text) -> Table:
    """One line, from its left and from its right end; where both are long, the right gives way."""
    table = Table.grid(expand=True, padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, justify="right", ratio=1)
    table.add_row(left, right)
    return table


def _state(status: Status) -> list[str]:
    """The generation and what is out of the ordinary, in as few words as a line leaves."""
    words = [f"model {status.models.index(status.model) + 1} of {len(status.models)}"] if len(status.models) > 1 else []
    words += [f"generation {status.generation}"]
    words += ["pinned"] if status.pinned else []
    words += ["profiling"] if status.profiling else []
    words += ["estimated tables"] if status.tables.estimate else []
    return words


def _frames(status: Status, latencies_us: Sequence[float | None], width: int) -> Group:
    predicted, measured, counts = status.predicted, status.measured, status.requests
    latency = _columns(3)
    latency.add_row("", Text("predicted", "bright_black"), Text("measured", "bright_black"))
    low_us = predicted.latency_us * status.latency_correction
    latency.add_row("p20", microseconds(low_us), microseconds(measured.latency_p20_us))
    latency.add_row("p95", microseconds(predicted.latency_p95_us), microseconds(measured.latency_p95_us))
    expected = _columns(2)
    expected.add_row("accuracy", f"{predicted.accuracy_percent:.1f} % expected")
    expected.add_row("energy", f"{predicted.energy_mj:.3f} mJ {status.tables.energy}")
    outcomes = _columns(4)
    for first, second in (
        (("answered", counts.answered), ("queue", counts.queue_depth)),
        (("refused", sum(counts.rejected.values())), ("expired", counts.expired)),
        (("failed", counts.failed), ("lost", counts.undelivered)),
    ):
        outcomes.add_row(*_counted(*first), *_counted(*second))
    curve = sparkline(latencies_us, width, _CURVE_LINES, status.budgets.latency_p95_us)
    return Group(latency, *curve, expected, outcomes)


def _columns(count: int) -> Table:
    """Columns of numbers behind one of names."""
    table = Table.grid(padding=(0, 1))
    for index in range(count):
        table.add_column(no_wrap=True, justify="right" if index else "left")
    return table


def _counted(name: str, count: int) -> tuple[str, Text]:
    bad = name in {"failed", "lost"} and count > 0
    return name, Text(_short(count), "bold red" if bad else "")


def _short(count: int) -> str:
    """A count in a few characters."""
    if count < _LONG_COUNT:
        return f"{count:,}"
    thousands, unit = count / 1e3, "k"
    for larger in ("M", "G"):
        if thousands >= 1e3:  # noqa: PLR2004 - that is what k, M and G mean
            thousands, unit = thousands / 1e3, larger
    return f"{thousands:.1f} {unit}"


def _keys(status: Status) -> str:
    return "m shows the next model, q quits" if len(status.models) > 1 else "q quits"


def _evolutions_title(status: Status) -> str:
    return f"evolutions: {status.evolutions:,}, of which {status.generation:,} swapped the subnet"


def _happenings(happenings: Sequence[Happening], width: int) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, justify="right")
    for _ in range(2):
        table.add_column(no_wrap=True, overflow="ellipsis")
    for happening in reversed(happenings):
        table.add_row(
            Text(f"{happening.at.astimezone():%H:%M:%S}", "yellow"),
            "" if happening.total_us is None else Text(f"{happening.total_us / 1e3:.1f} ms", "bold green"),
            *([Text(happening.subnet or "", "cyan")] if width >= _WIDE else []),
            Text(happening.sentence, "bold red" if happening.alarming else ""),
        )
    return table
