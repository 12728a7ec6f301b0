"""The comparison as one HTML page that needs nothing beside it."""

from __future__ import annotations

import base64
import io
from html import escape
from typing import Any

from adaspring.errors import WorkbenchError
from adaspring.workbench.baselines.comparison import Row

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 78rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; width: 100%; margin: 1rem 0; font-size: 13px }
th, td { padding: .3rem .5rem; border-bottom: 1px solid #ddd; text-align: right }
th:first-child, td:first-child, td.text { text-align: left }
tr.ours { background: #eef6ee } code { font-size: 12px } img { max-width: 100% }
"""

HEADINGS = (
    "entrant", "subnet", "accuracy %: float32", "int8", "validation %: float32", "int8", "C (MACs)", "Sp", "Sa", "C/Sp",
    "C/Sa", "latency us: float32 p50", "p95", "int8 p50", "p95", "energy mJ (modelled): float32", "int8", "retraining",
    "switch ms",
)  # fmt: skip

#: Figures of a row that differ between precisions, and how they are written.
BY_PRECISION = {
    "test_percent": ".2f",
    "validation_percent": ".2f",
    "latency_us": ".1f",
    "latency_p95_us": ".1f",
    "energy_mj": ".4f",
}


def page(report: dict[str, Any], rows: list[Row]) -> str:
    """Tables and plots of a report.

    Args:
        report: What the JSON holds: task, title, machine, headline, missing.
        rows: All entrants.

    Raises:
        WorkbenchError: If matplotlib is not installed.
    """
    machine = ", ".join(f"{escape(key.replace('_', ' '))} {value}" for key, value in report["machine"].items())
    missing = "".join(f"<li>{escape(title)}</li>" for title in report["missing"])
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{escape(report["task"])}: evidence</title>
<style>{STYLE}</style></head><body><h1>{escape(report["title"])}</h1>
<p>All entrants: the same rows, engine, folding and one thread; every round of the timing runs each of them once.
Training budget of every row: {escape(report["budget"])}. Ours are from the fronts of accuracy as tables predict it,
{escape(report["picked"])}. Energy is modelled with the coefficients of
<code>{escape(report["board"])}</code>, not measured. {machine}.</p>
{_plot(rows)}
{_table(rows)}
<h2>Against hand-crafted compression</h2>
<p>For each baseline the fastest subnet whose validation accuracy is at least the baseline's less 0.5 points; ratios are
the baseline's over ours, accuracy is that on test rows. A baseline that nothing matches is named, and counts in the
geometric means with our most accurate subnet and at most 1.</p>
{_pairs("float32 against float32", report["headline"], "")}
{_pairs("ours in its own precision against float32", report["headline"], "_own_precision")}
{_ablations(report["ablations"])}
{f"<h2>Not in this run</h2><ul>{missing}</ul>" if missing else ""}
</body></html>
"""


def _table(rows: list[Row]) -> str:
    """One line for each subnet, its precisions side by side."""
    subnets: dict[tuple[str, str, str], dict[str, Row]] = {}
    for row in rows:
        choices = row.subnet.partition(":")[2]
        subnets.setdefault((row.kind, row.title, choices), {})[row.precision] = row
    head = "".join(f"<th>{escape(heading)}</th>" for heading in HEADINGS)
    return f"<table><tr>{head}</tr>{''.join(_line(subnet) for subnet in subnets.values())}</table>"


def _line(precisions: dict[str, Row]) -> str:
    row = next(iter(precisions.values()))
    test, validation, p50, p95, energy = (
        [
            f"{getattr(precisions[precision], field):{form}}" if precision in precisions else "-"
            for precision in ("float32", "int8")
        ]
        for field, form in BY_PRECISION.items()
    )
    cells = (
        *test,
        *validation,
        f"{row.macs:,}",
        f"{row.parameters:,}",
        f"{row.activations:,}",
        f"{row.macs / row.parameters:.1f}",
        f"{row.macs / row.activations:.1f}",
        *(figure for both in zip(p50, p95, strict=True) for figure in both),
        *energy,
        "yes" if row.retraining else "no",
        f"{row.switch_ms:.2f}",
    )
    choices = row.subnet.partition(":")[2]
    named = f'<td>{escape(row.title)}</td><td class="text"><code>{escape(choices)}</code></td>'
    figures = "".join(f"<td>{cell}</td>" for cell in cells)
    return f'<tr class="{escape(row.kind)}">{named}{figures}</tr>'


def _pairs(title: str, headline: dict[str, Any], suffix: str) -> str:
    lines = "".join(
        f"<tr><td>{escape(pair['baseline'])}</td><td class='text'><code>{escape(pair['subnet'])}</code></td>"
        f"<td>{pair['accuracy_delta_points']:+.2f} [{pair['interval_points'][0]:+.2f}, "
        f"{pair['interval_points'][1]:+.2f}]</td><td>{pair['latency_ratio']:.2f}</td><td>{pair['energy_ratio']:.2f} "
        f"[{pair['energy_ratio_range'][0]:.2f}, {pair['energy_ratio_range'][1]:.2f}]</td></tr>"
        for pair in headline[f"pairs{suffix}"]
    )
    unmatched = ", ".join(headline[f"unmatched{suffix}"]) or "none"
    best, mean = (
        ", ".join(f"{name} {_ratio(headline[f'{name}_ratio_{kind}{suffix}'])}" for name in ("latency", "energy"))
        for kind in ("best", "geomean")
    )
    return (
        f"<h3>{escape(title)}</h3><p>Best pair: {best}. Geometric mean: {mean}.</p>"
        "<table><tr><th>baseline</th><th>ours</th><th>accuracy, points [95 %]</th>"
        f"<th>latency ratio</th><th>energy ratio [range]</th></tr>{lines}</table><p>Unmatched: {escape(unmatched)}.</p>"
    )


def _ratio(ratio: float | None) -> str:
    return "none" if ratio is None else f"{ratio:.2f}"


def _ablations(parts: dict[str, Any]) -> str:
    if not parts:
        return ""
    lines = "".join(
        f"<tr><td>{escape(title)}</td><td>{part['full']['instant_percent']:.2f}</td>"
        f"<td>{part['random']['instant_median']:.2f}</td><td>{part['random']['instant_least']:.2f}</td>"
        f"<td>{part['random']['median']:+.2f}</td><td>{part['random']['p95']:+.2f}</td>"
        f"<td>{part['random']['worst']:+.2f}</td><td>{part['front']['instant_median']:.2f}</td></tr>"
        for title, part in parts.items()
    )
    return (
        "<h2>What each part is worth</h2><p>The recipe without it, for as many epochs; accuracy on test rows of "
        "subnets as they are assembled, and what they lose beside a full recalibration. What int8 is worth is the "
        "difference of the two tables above.</p>"
        "<table><tr><th></th><th>full %</th><th>random: median %</th><th>least %</th>"
        "<th>lost: median, points</th><th>95th percentile</th><th>worst</th><th>front: median %</th></tr>"
        f"{lines}</table>"
    )


def _plot(rows: list[Row]) -> str:
    """Accuracy over latency and over MACs, as a picture inside the page."""
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - an extra that only reports need
    except ModuleNotFoundError as error:
        raise WorkbenchError("the report's plots need matplotlib: pip install 'adaspring[report]'") from error
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    for axes, field, label in zip(
        figure.subplots(1, 2, sharey=True),
        ("latency_us", "macs"),
        ("latency p50 (us)", "multiply-accumulates"),
        strict=True,
    ):
        for kind in dict.fromkeys(f"{row.kind} {row.precision}" for row in rows):
            chosen = [row for row in rows if f"{row.kind} {row.precision}" == kind]
            x, y = [getattr(row, field) for row in chosen], [row.test_percent for row in chosen]
            axes.plot(x, y, "o" if kind.startswith("ours") else "^", label=kind, alpha=0.8)
        axes.set_xscale("log")
        axes.set_xlabel(label)
        axes.grid(visible=True, alpha=0.3)
    figure.axes[0].set_ylabel("accuracy on test rows (%)")
    figure.axes[0].legend(fontsize=8)
    picture = io.BytesIO()
    figure.savefig(picture, format="svg")
    encoded = base64.b64encode(picture.getvalue()).decode()
    return f'<img alt="accuracy over latency and over MACs" src="data:image/svg+xml;base64,{encoded}">'
