"""Pages of HTML that need nothing else: tables, and curves drawn in them as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

_WIDTH, _HEIGHT, _LEFT, _GAP = 960, 110, 70, 26
_STYLE = (
    "body{font:14px system-ui,sans-serif;margin:2rem auto;max-width:1060px;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse}td,th{padding:.2rem .8rem;text-align:right;border-bottom:1px solid #ddd}"
    "td:first-child,th:first-child,.text{text-align:left}code{font-size:12px}svg text{font-size:11px;fill:#444}"
)
_COLOURS = ("#2563eb", "#dc2626", "#059669", "#d97706", "#7c3aed", "#0891b2", "#be185d", "#4d7c0f")
#: About how many hours are marked below a plot.
_MARKS = 12


class Curve(NamedTuple):
    """A line of a plot.

    Attributes:
        name: In the legend.
        hours: Where its points are.
        values: How high; as many.
    """

    name: str
    hours: Sequence[float]
    values: Sequence[float]


def document(title: str, body: str) -> str:
    """A whole page; `body` is HTML."""
    return (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{escape(title)}</title><style>{_STYLE}</style>"
        f"<h1>{escape(title)}</h1>{body}</html>\n"
    )


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, text: Sequence[str] = ()) -> str:
    """A table of plain texts; the columns named in `text` stand on the left."""
    left = [name in text for name in headings]
    lines = [_cells("th", headings, left), *(_cells("td", row, left) for row in rows)]
    return f"<table>{''.join(lines)}</table>"


def bullets(sentences: Sequence[str]) -> str:
    """A list; nothing for none."""
    told = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    return f"<ul>{told}</ul>" if told else ""


def plot(title: str, curves: Sequence[Curve]) -> str:
    """Curves over hours, in one frame."""
    every = [value for curve in curves for value in curve.values]
    hours = [hour for curve in curves for hour in curve.hours]
    low, high, begin, end = min(every), max(every), min(hours), max(hours)
    extent, span = high - low or 1.0, end - begin or 1.0
    colours = [_COLOURS[index % len(_COLOURS)] for index in range(len(curves))]
    drawn = []
    for curve, colour in zip(curves, colours, strict=True):
        points = " ".join(
            f"{_LEFT + (hour - begin) / span * _WIDTH:.1f},{_GAP + (1 - (value - low) / extent) * _HEIGHT:.1f}"
            for hour, value in zip(curve.hours, curve.values, strict=True)
        )
        drawn.append(
            f"<polyline points='{points}' fill='none' stroke='{colour}'><title>{escape(curve.name)}</title></polyline>"
        )
    legend = " ".join(
        f"<tspan fill='{colour}'>{escape(curve.name)}</tspan>" for curve, colour in zip(curves, colours, strict=True)
    )
    marks = "".join(
        f"<text x='{_LEFT + (hour - begin) / span * _WIDTH:.0f}' y='{_GAP + _HEIGHT + 14}'>{hour}:00</text>"
        for hour in range(int(begin) + 1, int(end) + 1, max(2, round(span / _MARKS)))
    )
    return (
        f"<svg viewBox='0 0 {_LEFT + _WIDTH + 10} {_GAP + _HEIGHT + 20}' role='img'>"
        f"<text x='{_LEFT}' y='14'>{escape(title)}: {legend}</text>"
        f"<rect x='{_LEFT}' y='{_GAP}' width='{_WIDTH}' height='{_HEIGHT}' fill='none' stroke='#ddd'/>"
        f"<text x='4' y='{_GAP + 10}'>{high:.4g}</text><text x='4' y='{_GAP + _HEIGHT}'>{low:.4g}</text>"
        f"{''.join(drawn)}{marks}</svg>"
    )


def _cells(tag: str, cells: Sequence[str], left: Sequence[bool]) -> str:
    told = (f"<{tag}{' class=text' * at}>{escape(cell)}</{tag}>" for cell, at in zip(cells, left, strict=True))
    return f"<tr>{''.join(told)}</tr>"
