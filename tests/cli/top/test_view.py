"""What the live view draws of what is known."""

from __future__ import annotations

from collections import deque
from datetime import datetime, timezone
from types import SimpleNamespace

import msgspec
import pytest
from rich.console import Console

from adaspring.app.status import SlotView, Status
from adaspring.cli.top.feed import Happening
from adaspring.cli.top.view import LEAST_COLUMNS, LEAST_LINES, screen

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
NAME = "f32:c64.c64.c96.c96.c96.c128.c128.c128"


def drawn(status: Status, *happenings: Happening, columns: int = LEAST_COLUMNS, trouble: str = "") -> list[str]:
    """Lines of the screen."""
    feed = SimpleNamespace(status=status, latencies_us=deque([100.0, None, 300.0]), happenings=deque(happenings))
    console = Console(width=columns, color_system=None)
    with console.capture() as capture:
        console.print(screen(feed, columns, trouble), height=LEAST_LINES)  # type: ignore[arg-type]
    return capture.get().splitlines()


def changed(status: Status, **changes: object) -> Status:
    """A status that differs."""
    return msgspec.structs.replace(status, **changes)


def test_subnet_is_never_cut(status: Status) -> None:
    """However much there is to say of its state."""
    busy = changed(status, subnet=NAME, pinned=True, profiling=True, generation=123)
    assert drawn(busy)[1].startswith(f"{NAME} generation 123, pinned")
    assert drawn(busy, columns=120)[1].endswith("generation 123, pinned, profiling, estimated tables")
    assert "nobody answers" in drawn(busy, trouble="nobody answers; trying again")[1]


@pytest.mark.parametrize("columns", [80, 95, 96, 119, 120, 200])
def test_lines_fill_the_terminal_at_every_width(status: Status, columns: int) -> None:
    """No panel is cut or leaves a gap, where bars grow and where more is told."""
    lines = drawn(status, columns=columns)
    assert LEAST_LINES == len(lines)
    assert {columns} == {len(line) for line in lines[2:]}
    assert all(line[-1] in "╮│╯" for line in lines[2:])


@pytest.mark.parametrize("slots", [1, 10, 16])
def test_deep_networks_have_room(status: Status, slots: int) -> None:
    """Every slot is told; evolutions have what is left."""
    lines = drawn(changed(status, slots=(SlotView("conv", 8, 8),) * slots), Happening(AT, "because", NAME, 1234.0))
    told = [line for line in lines if "conv" in line]
    assert slots == len(told)
    assert any("1.2 ms because" in line for line in lines)


def test_counts_stay_short(status: Status) -> None:
    """A year's answers fit beside the queue; failures are told."""
    requests = msgspec.structs.replace(status.requests, answered=3_456_789_012, failed=123_456)
    text = " ".join(" ".join(drawn(changed(status, requests=requests))).split())
    assert "answered 3.5 G queue" in text
    assert "failed 123.5 k lost" in text


def test_bad_news_without_duration(status: Status) -> None:
    """What is no evolution has no milliseconds."""
    lines = drawn(status, Happening(AT, "throttled (cpufreq)", alarming=True))
    (line,) = [line for line in lines if "throttled (cpufreq)" in line]
    assert " ms " not in line
