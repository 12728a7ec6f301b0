"""A replayed day as one page of HTML that needs nothing else: plots are drawn in it as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import msgspec

from adaspring.simulate.replay import Day, Moment
from adaspring.simulate.summary import Comparison, Totals

_WIDTH, _HEIGHT, _LEFT, _GAP = 960, 110, 70, 26
#: Points of a curve; a page with every step of the day would be slow to draw.
_POINTS = 1200
#: Changes of subnet that are listed.
_LISTED = 200
_STYLE = (
    "body{font:14px system-ui,sans-serif;margin:2rem auto;max-width:1060px;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse}td,th{padding:.2rem .8rem;text-align:right;border-bottom:1px solid #ddd}"
    "td:first-child,th:first-child,.text{text-align:left}code{font-size:12px}svg text{font-size:11px;fill:#444}"
)
_COLOURS = ("#2563eb", "#dc2626")


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
    subnets = list(dict.fromkeys(moment.subnet for moment in moments))
    plots = [
        _plot("battery, %", thinned, [("battery", [moment.battery_percent for moment in thinned])]),
        _plot("temperature, °C", thinned, [("processor", [moment.temperature_c for moment in thinned])]),
        _plot("event rate, frames/s", thinned, [("asked for", [moment.event_rate_hz for moment in thinned])]),
        _plot(
            "p95 of compute, ms",
            thinned,
            [
                ("true", [moment.latency_us / 1e3 for moment in thinned]),
                ("budget", [moment.budget_us / 1e3 for moment in thinned]),
            ],
        ),
        _plot(
            "accuracy, %",
            thinned,
            [
                ("true", [moment.accuracy_percent for moment in thinned]),
                ("floor", [moment.floor_percent for moment in thinned]),
            ],
        ),
        _plot(
            f"active subnet (1 to {len(subnets)}, by first use)",
            thinned,
            [("subnet", [float(subnets.index(moment.subnet) + 1) for moment in thinned])],
        ),
        _plot("energy so far, J", thinned, [("frames", [moment.energy_mj / 1e3 for moment in thinned])]),
    ]
    told = "".join(f"<li>{escape(finding)}</li>" for finding in findings)
    return (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{escape(title)}</title><style>{_STYLE}</style>"
        f"<h1>{escape(title)}</h1>"
        "<p>Everything here is modelled: the judge is a plant whose tables the policy does not know, with battery and "
        "heat in closed loop. Plots show one seed; the table sums all of them up.</p>"
        + (f"<ul>{told}</ul>" if told else "")
        + _comparison(comparison)
        + f"<h2>The day, seed {day.seed}</h2>"
        + "".join(plots)
        + "<h2>What changed when, and why</h2>"
        + _switches(moments)
        + "</html>\n"
    )


def json_report(title: str, comparison: Comparison, days: Sequence[Day], findings: Sequence[str]) -> bytes:
    """The same for machines: the comparison, and every seed with every step."""
    return msgspec.json.encode(
        {"title": title, "findings": list(findings), "comparison": comparison, "days": list(days)}
    )


def _comparison(comparison: Comparison) -> str:
    rows = "".join(
        _row(name, totals)
        for name, totals in (
            ("adaptive", comparison.adaptive),
            ("best static", comparison.best_static),
            ("smallest static", comparison.smallest_static),
            ("oracle", comparison.oracle),
        )
    )
    heading = "".join(
        f"<th>{name}</th>" for name in ("", "violations", "frames", "accuracy %", "energy J/day", "hours", "switches")
    )
    return f"<table><tr>{heading}<th class='text'>subnet</th></tr>{rows}</table>"


def _row(name: str, totals: Totals) -> str:
    figures = (
        f"{totals.violations:,}",
        f"{totals.frames:,}",
        f"{totals.mean_accuracy:.2f}",
        f"{totals.energy_mj / 1e3:,.0f}",
        f"{totals.hours:.1f}",
        f"{totals.switches:g}",
    )
    cells = "".join(f"<td>{figure}</td>" for figure in figures)
    return f"<tr><td>{name}</td>{cells}<td class='text'><code>{escape(totals.subnet)}</code></td></tr>"


def _switches(moments: Sequence[Moment]) -> str:
    changed = [moment for moment in moments if moment.cause]
    rows = "".join(
        f"<tr><td>{int(moment.hour):02d}:{int(moment.hour % 1 * 60):02d}</td>"
        f"<td class='text'><code>{escape(moment.subnet)}</code></td><td class='text'>{escape(moment.cause)}</td></tr>"
        for moment in changed[:_LISTED]
    )
    more = f"<p>and {len(changed) - _LISTED} more</p>" if len(changed) > _LISTED else ""
    return f"<table>{rows}</table>{more}"


def _plot(title: str, moments: Sequence[Moment], curves: Sequence[tuple[str, list[float]]]) -> str:
    low = min(min(values) for _, values in curves)
    high = max(max(values) for _, values in curves)
    extent = high - low or 1.0
    begin, end = moments[0].hour, moments[-1].hour
    span = end - begin or 1.0
    drawn = []
    for (name, values), colour in zip(curves, _COLOURS, strict=False):
        points = " ".join(
            f"{_LEFT + (moment.hour - begin) / span * _WIDTH:.1f},{_GAP + (1 - (value - low) / extent) * _HEIGHT:.1f}"
            for moment, value in zip(moments, values, strict=True)
        )
        drawn.append(
            f"<polyline points='{points}' fill='none' stroke='{colour}'><title>{escape(name)}</title></polyline>"
        )
    legend = " ".join(
        f"<tspan fill='{colour}'>{escape(name)}</tspan>" for (name, _), colour in zip(curves, _COLOURS, strict=False)
    )
    hours = "".join(
        f"<text x='{_LEFT + (hour - begin) / span * _WIDTH:.0f}' y='{_GAP + _HEIGHT + 14}'>{hour}:00</text>"
        for hour in range(int(begin) + 1, int(end) + 1, 2)
    )
    return (
        f"<svg viewBox='0 0 {_LEFT + _WIDTH + 10} {_GAP + _HEIGHT + 20}' role='img'>"
        f"<text x='{_LEFT}' y='14'>{escape(title)}: {legend}</text>"
        f"<rect x='{_LEFT}' y='{_GAP}' width='{_WIDTH}' height='{_HEIGHT}' fill='none' stroke='#ddd'/>"
        f"<text x='4' y='{_GAP + 10}'>{high:.4g}</text><text x='4' y='{_GAP + _HEIGHT}'>{low:.4g}</text>"
        f"{''.join(drawn)}{hours}</svg>"
    )
