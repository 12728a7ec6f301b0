from __future__ import annotations

from collections.abc import Callable

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from rich.console import RenderableType

from adaspring.app.status import Status
from adaspring.cli.gauges import context_gauges, sparkline
from adaspring.context.model import Context

Show = Callable[[RenderableType], str]

values_us = st.lists(st.none() | st.floats(0.0, 1e6), max_size=40)


def heights(values: list[float | None], width: int, height: int) -> list[int]:
    """Eighths of a line that each column of the curve fills."""
    lines = sparkline(values, width, height, limit=1e9)
    return [sum(" ▁▂▃▄▅▆▇█".index(line.plain[column]) for line in lines) for column in range(width)]


@given(values_us, st.integers(1, 50), st.integers(1, 4))
def test_curve_has_its_size_and_order(values: list[float | None], width: int, height: int) -> None:
    """It fills its width, the highest value its height; a higher value is never drawn lower, and nothing is a blank."""
    drawn = heights(values, width, height)
    shown = values[-width:]
    assert width == len(drawn)
    assert set() == set(drawn[: width - len(shown)]) - {0}
    known = sorted(
        (value, eighths) for value, eighths in zip(shown, drawn[width - len(shown) :], strict=True) if value is not None
    )
    assert all(eighths >= 1 for _, eighths in known)
    assert [eighths for _, eighths in known] == sorted(eighths for _, eighths in known)
    assert len(known) == len(shown) - shown.count(None) == sum(eighths > 0 for eighths in drawn)
    if known and known[-1][0] > 0:
        assert 8 * height == known[-1][1]


def test_curve_is_red_above_its_limit() -> None:
    """A value over the budget catches the eye."""
    (line,) = sparkline([10.0, 30.0], width=2, height=1, limit=20.0)
    assert ["cyan", "red"] == [span.style for span in line.spans]


def test_gauges_tell_what_is_there_and_dash_what_is_not(shown: Show, status: Status) -> None:
    """Ten lines whatever is known; what no sensor gives is a dash and has no bar."""
    context = Context(0.0, battery_percent=55.0, external_power=False, throttled=True, memory_available_mib=2048.0)
    some = msgspec.structs.replace(status, context=context)
    lines = [line.rstrip() for line in shown(context_gauges(some, 4)).splitlines()]
    assert ["battery   55%     ██░░", "supply    battery", "heat      —", "throttled yes", "memory    2.0 GiB"] == [
        " ".join(line.split(" ")) for line in lines[:5]
    ]
    assert ["load      —", "events    —"] == lines[5:7]
    assert 10 == len(lines)
    none = msgspec.structs.replace(status, context=Context(0.0))
    assert 7 == shown(context_gauges(none, 4)).count("—")
