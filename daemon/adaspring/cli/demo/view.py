"""The live view: context, subnet, frames and evolutions on one screen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.layout import Layout
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from adaspring.app.evolution import Evolution
from adaspring.app.status import Status
from adaspring.cli.demo.app import Tally
from adaspring.cli.gauges import context_gauges
from adaspring.cli.render import bar, microseconds, prediction_table, slots_table

#: From so many columns on there is room for long bars.
_WIDE = 100


@dataclass(frozen=True, slots=True)
class Moment:
    """Everything that is shown at one time.

    Attributes:
        time_s: Time of the replayed day, in seconds since midnight.
        activity: What the person or device does then.
        progress: Share of the day that has passed.
        status: Of the daemon.
        tally: Of the sensing app.
        energy_mj: Modelled energy of all frames so far.
        full_energy_mj: What the uncompressed network would have taken for them.
        evolutions: Swaps so far with their time of day, newest last.
    """

    time_s: float
    activity: str
    progress: float
    status: Status
    tally: Tally
    energy_mj: float
    full_energy_mj: float
    evolutions: Sequence[tuple[float, Evolution]]


def time_of_day(time_s: float) -> str:
    """Hours and minutes."""
    return f"{int(time_s // 3600) % 24:02d}:{int(time_s // 60) % 60:02d}"


def screen(moment: Moment, width: int) -> RenderableType:
    """The whole screen.

    Args:
        moment: What to show.
        width: Of the terminal; a narrow one gets shorter bars.
    """
    long, short = (16, 8) if width >= _WIDE else (6, 0)
    precision = moment.status.subnet.partition(":")[0]
    layout = Layout()
    layout.split_column(
        Layout(_header(moment), size=3),
        Layout(name="middle", size=12),
        Layout(_panel(_evolutions(moment), "evolutions"), minimum_size=5),
    )
    layout["middle"].split_row(
        Layout(_panel(context_gauges(moment.status, short), "context"), size=25 + short),
        Layout(_panel(slots_table(moment.status.slots, long), f"active subnet ({precision})"), size=22 + long),
        Layout(_panel(_frames(moment), "frames")),
    )
    return layout


def _panel(content: RenderableType, title: str) -> Panel:
    return Panel(content, title=title, title_align="left", border_style="blue")


def _header(moment: Moment) -> Panel:
    status = moment.status
    text = Text.assemble(
        ("AdaSpring ", "bold green"),
        (f"{status.model}  ", "bold"),
        f"{status.device}  {status.engine}   ",
        (time_of_day(moment.time_s), "bold yellow"),
        f"  {moment.activity}  ",
    )
    text.append(bar(moment.progress, 20, "yellow"))
    return Panel(text, border_style="green")


def _frames(moment: Moment) -> Group:
    tally = moment.tally
    recent = tally.recent
    accuracy = f"{100 * sum(recent) / len(recent):.1f} %" if recent else "—"
    saved = 1 - moment.energy_mj / moment.full_energy_mj if moment.full_energy_mj else 0.0
    table = Table.grid(padding=(0, 1))
    away = f", {tally.turned_away} turned away" if tally.turned_away else ""
    table.add_row("answered", f"{tally.answered:,}", f"lost {tally.failed}{away}")
    table.add_row("right", accuracy, f"of last {len(recent)}")
    table.add_row("spent", f"{moment.energy_mj:,.0f} mJ", f"{saved:.0%} saved")
    truth, named = tally.last
    label = Text(named.lower().replace("_", " "), "green" if truth == named else "red")
    return Group(prediction_table(moment.status), Text(""), table, label)


def _evolutions(moment: Moment) -> Table:
    table = Table.grid(padding=(0, 2))
    for _ in range(3):
        table.add_column(no_wrap=True)
    for time_s, evolution in reversed(moment.evolutions):
        table.add_row(*evolution_cells(time_s, evolution))
    return table


def evolution_cells(time_s: float, evolution: Evolution) -> tuple[Text, Text, Text, Text]:
    """Time of day, duration, subnet and cause of a swap."""
    return (
        Text(time_of_day(time_s), "yellow"),
        Text(f"{evolution.total_us / 1e3:.1f} ms", "bold green"),
        Text(evolution.subnet, "cyan"),
        Text(evolution.cause.sentence),
    )


def summary(moment: Moment) -> RenderableType:
    """What the day came to."""
    tally = moment.tally
    rows = [("frames answered", f"{tally.answered:,} of {tally.sent:,}, {tally.failed} lost")]
    if tally.turned_away:
        rows.append(("frames turned away, for want of time", f"{tally.turned_away:,}"))
    if tally.answered:
        trips_us = sorted(tally.round_trips_us)
        saved = 1 - moment.energy_mj / moment.full_energy_mj if moment.full_energy_mj else 0.0
        rows += [
            ("accuracy on volunteers that training never saw", f"{100 * tally.right / tally.answered:.1f} %"),
            ("modelled energy", f"{moment.energy_mj:,.0f} mJ, {saved:.0%} less than the uncompressed network"),
            ("median round trip of the last frames", microseconds(trips_us[len(trips_us) // 2])),
        ]
    durations_ms = sorted(evolution.total_us / 1e3 for _, evolution in moment.evolutions)
    if durations_ms:
        median_ms, slowest_ms = durations_ms[len(durations_ms) // 2], durations_ms[-1]
        swaps = f"{len(durations_ms)}, median {median_ms:.1f} ms, slowest {slowest_ms:.1f} ms"
        rows.append(("evolutions that swapped the subnet", swaps))
    rows.append(("subnets that answered", str(len(tally.subnets))))
    table = Table(title="A day in the field", show_header=False, title_style="bold green")
    for name, value in rows:
        table.add_row(name, value)
    return table
