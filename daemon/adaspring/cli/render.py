"""What the terminal shows of a daemon; shared by ``adaspringctl`` and the demonstration."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from adaspring.app.evolution import Evolution
from adaspring.app.status import SlotView, Status, TablesView
from adaspring.context.model import Context
from adaspring.tables import Learned

#: Colour of each operator; a skipped slot is dim.
_COLOURS = {
    "conv": "cyan",
    "dwsep": "magenta",
    "fire": "red",
    "inverted": "blue",
    "lowrank": "yellow",
    "spatial": "green",
}
_BAR = 24
#: From so many microseconds on a duration is told in milliseconds.
_LONG_US = 10_000.0


def bar(share: float, width: int = _BAR, colour: str = "green") -> Text:
    """A horizontal bar filled to a share between 0 and 1."""
    filled = round(min(max(share, 0.0), 1.0) * width)
    return Text("█" * filled, style=colour) + Text("░" * (width - filled), style="bright_black")


def slots_table(slots: tuple[SlotView, ...], width: int = _BAR) -> Table:
    """The active subnet, slot by slot: operator, and its width against the full one.

    Args:
        slots: Of the subnet.
        width: Of the bars, in characters.
    """
    table = Table.grid(padding=(0, 1))
    for _ in range(4):
        table.add_column(no_wrap=True)
    for index, slot in enumerate(slots):
        if slot.operator is None:
            table.add_row(str(index), Text("skipped", "bright_black"), Text("·" * width, "bright_black"), "")
        else:
            colour = _COLOURS.get(slot.operator, "white")
            share = slot.width / slot.full_width
            channels = f"{slot.width}/{slot.full_width}"
            table.add_row(str(index), Text(slot.operator, colour), bar(share, width, colour), channels)
    return table


def context_table(context: Context) -> Table:
    """Every quantity of a context; for what is missing, why."""
    table = Table.grid(padding=(0, 1))
    for name, unit in (
        ("battery_percent", "%"),
        ("external_power", ""),
        ("power_w", "W"),
        ("temperature_c", "°C"),
        ("throttled", ""),
        ("memory_available_mib", "MiB"),
        ("memory_pressure_percent", "%"),
        ("cpu_percent", "%"),
        ("event_rate_hz", "Hz"),
        ("latency_p95_us", "µs"),
    ):
        value = getattr(context, name)
        label = name.removesuffix("_" + name.rsplit("_", 1)[-1]) if unit else name
        if value is None:
            shown = Text(f"— {context.reasons.get(name, '')}", "bright_black")
        elif isinstance(value, bool):
            shown = Text("yes" if value else "no")
        else:
            shown = Text(f"{value:,.1f} {unit}")
        table.add_row(label.replace("_", " "), shown)
    return table


def prediction_table(status: Status) -> Table:
    """Predicted against measured; latency is predicted with the correction learned online."""
    predicted, measured = status.predicted, status.measured
    low_us = predicted.latency_us * status.latency_correction
    table = Table(box=None, padding=(0, 1, 0, 0), show_edge=False)
    for heading in ("", "predicted", "measured"):
        table.add_column(heading, justify="left" if not heading else "right", no_wrap=True)
    table.add_row("p20", microseconds(low_us), microseconds(measured.latency_p20_us))
    table.add_row("p95", microseconds(predicted.latency_p95_us), microseconds(measured.latency_p95_us))
    if measured.late_percent is not None:
        table.add_row(f"over {microseconds(measured.asked_us)}", "", f"{measured.late_percent:.1f} %")
    table.add_row("accuracy", f"{predicted.accuracy_percent:.1f} %", "")
    table.add_row("energy", f"{predicted.energy_mj:.3f} mJ", f"({status.tables.energy})")
    return table


def microseconds(value: float | None) -> str:
    """A duration given in microseconds, or a dash where there is none yet."""
    if value is None:
        return "—"
    return f"{value:,.0f} µs" if value < _LONG_US else f"{value / 1e3:,.1f} ms"


def evolution_line(evolution: Evolution) -> Text:
    """One evolution in one line: cause, change, time."""
    line = Text(f"{evolution.total_us / 1e3:5.1f} ms  ", "bold green" if evolution.swapped else "bright_black")
    line.append(evolution.subnet if evolution.swapped else "stays", "cyan" if evolution.swapped else "bright_black")
    line.append(f"  {evolution.cause.sentence}")
    return line


def status_view(status: Status) -> RenderableType:
    """All of a status."""
    requests = status.requests
    rejected = sum(requests.rejected.values())
    heading = Text.assemble(
        (f"{status.model} {status.bundle_version}", "bold"),
        f" on {status.device}, {status.engine}, up {status.uptime_s:,.0f} s",
    )
    state = [f"generation {status.generation}"]
    state += [f"priority {status.priority} of {len(status.models)} models"] if len(status.models) > 1 else []
    state += ["pinned by an operator"] if status.pinned else []
    state += ["profiling in the background"] if status.profiling else []
    state += ["tables are an estimate"] if status.tables.estimate else []
    return Group(
        heading,
        Text(""),
        Text.assemble((status.subnet, "bold cyan"), f"  ({', '.join(state)})"),
        slots_table(status.slots),
        Text(""),
        prediction_table(status),
        Text(f"correction of latency learned online: {status.latency_correction:.2f}"),
        Text(""),
        context_table(status.context),
        Text(""),
        Text(
            f"{requests.received:,} messages, {requests.answered:,} answered, {requests.expired:,} expired, "
            f"{rejected:,} refused; {status.evolutions:,} evolutions"
        ),
        evolution_line(status.last_evolution),
    )


def tables_view(view: TablesView, now: float) -> RenderableType:
    """The tables and what corrects them.

    Args:
        view: Of the daemon.
        now: Seconds since 1970, for ages.
    """
    facts = view.facts
    source = (
        "an estimate: nothing was measured" if facts.estimate else f"{facts.subnets:,} subnets timed {facts.created}"
    )
    atlas = "no atlas yet" if view.atlas_members is None else f"{view.atlas_members} subnets"
    entries = f"corrected {facts.corrected}" if facts.corrected else "as measured"
    told = Table.grid(padding=(0, 2))
    for name, text in (
        ("tables", f"{facts.device}, {facts.engine}: {source}"),
        ("single entries", f"{entries}; frames of {view.evidence} subnets count as evidence"),
        ("atlas", atlas + (", work on it runs in the background" if view.rebuilding else "")),
        ("energy", facts.energy),
    ):
        told.add_row(name, text)
    factors = Table(box=None, padding=(0, 2, 0, 0), show_edge=False)
    for heading in ("measured over predicted", "condition"):
        factors.add_column(heading)
    for heading in ("factor", "95th over low percentile", "measurements", "expires in"):
        factors.add_column(heading, justify="right")
    for quantity, learned in (("latency", view.latency), ("energy", view.energy)):
        for known in learned:
            here = " (now)" if known.condition == view.condition else ""
            factors.add_row(quantity, known.condition + here, *_factor_cells(known, view.expires_s, now))
    nothing = Text("nothing was measured yet: the tables are trusted as they are", "bright_black")
    return Group(told, Text(""), factors if view.latency or view.energy else nothing)


def _factor_cells(known: Learned, expires_s: float, now: float) -> tuple[str, str, str, str]:
    left_h = max(0.0, known.at + expires_s - now) / 3600
    tail = "" if known.tail_ratio is None else f"{known.tail_ratio:.2f}"
    return f"{known.factor:.3f}", tail, f"{known.frames:,}", f"{left_h:.0f} h"
