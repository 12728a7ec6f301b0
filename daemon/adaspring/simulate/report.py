"""A replayed day as one page of HTML that needs nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from adaspring.simulate.page import Curve, bullets, document, plot, table
from adaspring.simulate.replay import Day, Moment
from adaspring.simulate.summary import Comparison, Totals

#: Points of a curve; a page with every step of the day would be slow to draw.
_POINTS = 1200
#: Changes of subnet that are listed.
_LISTED = 200


def html_report(title: str, comparison: Comparison, day: Day, findings: Sequence[str]) -> str:
    """The page.

    Args:
        title: Of the day.
        comparison: Over all seeds.
        day: The seed whose course is plotted.
        findings: What was wrong with or missing from the trace.
    """
    moments = day.moments
    thinned = moments[:: max(1, len(moments) // _POINTS)]
    hours = [moment.hour for moment in thinned]
    subnets = list(dict.fromkeys(moment.subnet for moment in moments))

    def curve(name: str, value: Callable[[Moment], float]) -> Curve:
        return Curve(name, hours, [value(moment) for moment in thinned])

    plots = [
        plot("battery, %", [curve("battery", lambda moment: moment.battery_percent)]),
        plot("temperature, °C", [curve("processor", lambda moment: moment.temperature_c)]),
        plot("event rate, frames/s", [curve("asked for", lambda moment: moment.event_rate_hz)]),
        plot(
            "p95 of compute, ms",
            [
                curve("true", lambda moment: moment.latency_us / 1e3),
                curve("budget", lambda moment: moment.budget_us / 1e3),
            ],
        ),
        plot(
            "accuracy, %",
            [
                curve("true", lambda moment: moment.accuracy_percent),
                curve("floor", lambda moment: moment.floor_percent),
            ],
        ),
        plot(
            f"active subnet (1 to {len(subnets)}, by first use)",
            [curve("subnet", lambda moment: subnets.index(moment.subnet) + 1.0)],
        ),
        plot("energy so far, J", [curve("frames", lambda moment: moment.energy_mj / 1e3)]),
    ]
    return document(
        title,
        "<p>Everything here is modelled: the judge is a plant whose tables the policy does not know, with battery and "
        "heat in closed loop. Plots show one seed; the table sums all of them up.</p>"
        + bullets(findings)
        + _comparison(comparison)
        + f"<h2>The day, seed {day.seed}</h2>"
        + "".join(plots)
        + "<h2>What changed when, and why</h2>"
        + _switches(moments),
    )


def json_report(title: str, comparison: Comparison, days: Sequence[Day], findings: Sequence[str]) -> bytes:
    """The same for machines: the comparison, and every seed with every step."""
    return msgspec.json.encode(
        {"title": title, "findings": list(findings), "comparison": comparison, "days": list(days)}
    )


def _comparison(comparison: Comparison) -> str:
    entrants = {
        "adaptive": comparison.adaptive,
        "best static": comparison.best_static,
        "smallest static": comparison.smallest_static,
        "oracle": comparison.oracle,
    }
    headings = ("", "violations", "frames", "accuracy %", "energy J/day", "hours", "switches", "subnet")
    return table(headings, [_row(name, totals) for name, totals in entrants.items()], text=["subnet"])


def _row(name: str, totals: Totals) -> tuple[str, ...]:
    return (
        name,
        f"{totals.violations:,}",
        f"{totals.frames:,}",
        f"{totals.mean_accuracy:.2f}",
        f"{totals.energy_mj / 1e3:,.0f}",
        f"{totals.hours:.1f}",
        f"{totals.switches:g}",
        totals.subnet,
    )


def _switches(moments: Sequence[Moment]) -> str:
    changed = [moment for moment in moments if moment.cause]
    rows = [
        (f"{int(moment.hour):02d}:{int(moment.hour % 1 * 60):02d}", moment.subnet, moment.cause)
        for moment in changed[:_LISTED]
    ]
    more = f"<p>and {len(changed) - _LISTED} more</p>" if len(changed) > _LISTED else ""
    return table(("at", "subnet", "cause"), rows, text=["subnet", "cause"]) + more
