from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from rich.console import RenderableType

from adaspring.app.evolution import Evolution
from adaspring.app.status import Measured, SlotView, Status, TablesView
from adaspring.cli.explain import explanation
from adaspring.cli.render import (
    bar,
    context_table,
    evolution_line,
    microseconds,
    slots_table,
    status_view,
    tables_view,
)
from adaspring.client import ControlClient
from adaspring.context.model import Context
from adaspring.decide import Cause
from adaspring.decide.decision import Relaxed
from adaspring.tables import Learned

Show = Callable[[RenderableType], str]


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, "░░░░"), (0.5, "██░░"), (1.0, "████"), (-3.0, "░░░░"), (7.0, "████")]
)
def test_bar_stays_within_its_width(share: float, expected: str) -> None:
    """Also where a share is more than all or less than nothing."""
    assert expected == bar(share, 4).plain


def test_duration_that_is_not_known_is_a_dash() -> None:
    """No made-up zero."""
    assert ("—", "1,235 µs", "20.0 ms") == (microseconds(None), microseconds(1234.6), microseconds(2e4))


def test_slots_show_operator_and_width(shown: Show) -> None:
    """One line for each slot, skipped ones told."""
    slots = (SlotView("conv", 16, 16), SlotView("dwsep", 8, 32), SlotView(None, 0, 32))
    first, second, third = shown(slots_table(slots, 4)).splitlines()
    assert ("0 conv    ████ 16/16", "1 dwsep   █░░░ 8/32") == (first.strip(), second.strip())
    assert "skipped ····" in third


def test_context_says_why_something_is_missing(shown: Show) -> None:
    """Values have units, what is absent has its reason."""
    context = Context(
        0.0, battery_percent=55.0, external_power=False, reasons={"temperature_c": "there is no thermal zone"}
    )
    lines = [" ".join(line.split()) for line in shown(context_table(context)).splitlines()]
    assert "battery 55.0 %" in lines
    assert "external power no" in lines
    assert "temperature — there is no thermal zone" in lines
    assert len(lines) == 10


def test_evolution_in_a_line(shown: Show, status: Status) -> None:
    """What changed, how long it took and why; what did not change says so."""
    swap = msgspec.structs.replace(
        status.last_evolution, swapped=True, total_us=2345.0, cause=Cause("battery", "battery went from 90 to 5 %")
    )
    assert f"  2.3 ms  {swap.subnet}  battery went from 90 to 5 %\n" == shown(evolution_line(swap))
    stay = msgspec.structs.replace(swap, swapped=False)
    assert "  2.3 ms  stays  battery went from 90 to 5 %\n" == shown(evolution_line(stay))


def test_status_tells_the_state_of_the_daemon(shown: Show, status: Status) -> None:
    """Pinned, profiling and estimated are told where they hold, and measured stands beside predicted."""
    text = shown(status_view(status))
    assert f"{status.model} {status.bundle_version} on {status.device}, {status.engine}" in text
    assert f"{status.subnet}  (generation {status.generation}, tables are an estimate)" in text
    held = msgspec.structs.replace(
        status,
        pinned=True,
        profiling=True,
        measured=Measured(50, 100.0, 120.0, 1500.0, 2.0, 20_000.0),
        latency_correction=1.25,
    )
    text = shown(status_view(held))
    assert "pinned by an operator, profiling in the background, tables are an estimate" in text
    assert "1,500 µs" in text
    assert "over 20.0 ms 2.0 %" in " ".join(text.split())
    assert "correction of latency learned online: 1.25" in text


def test_explanation_tells_the_whole_decision(shown: Show, control: ControlClient) -> None:
    """Cause, context, budgets, the chosen and those that lost with their reasons, and the proof."""
    evolution = msgspec.convert(control.call("evolve"), Evolution)
    decision = evolution.decision
    assert decision is not None
    text = " ".join(shown(explanation(evolution)).split())
    assert f"Because an operator asked, at {evolution.at}" in text
    for sentence in decision.budgets.reasons.values():
        assert sentence in text
    assert f"{decision.predicted.energy_mj:.3f} mJ" in text
    assert decision.alternatives
    for other in decision.alternatives:
        assert other.text in text
    assert "From the best there is: " in text
    assert "its deadline ended the search" not in text
    late = msgspec.structs.replace(decision, in_time=False, gap_percent=0.25)
    text = " ".join(shown(explanation(msgspec.structs.replace(evolution, decision=late))).split())
    assert "at most 0.25 %" in text
    assert "its deadline ended the search" in text


def test_explanation_tells_budgets_that_gave_way(shown: Show, status: Status) -> None:
    """A budget that could not be met is told with what it became."""
    decision = status.last_evolution.decision
    assert decision is not None
    relaxed = msgspec.structs.replace(decision, relaxed=(Relaxed("energy", "energy relaxed from 1 mJ to 2 mJ"),))
    text = shown(explanation(msgspec.structs.replace(status.last_evolution, decision=relaxed)))
    assert "energy relaxed from 1 mJ to 2 mJ" in text


def test_tables_show_their_corrections(shown: Show, status: Status) -> None:
    """Where tables come from, what was learned under which condition, and when it expires."""
    view = TablesView(
        facts=status.tables,
        atlas_members=None,
        rebuilding=True,
        condition="engine mains cool",
        latency=(Learned("engine mains cool", 1.5, 1200, 1000.0, 1.31), Learned("engine mains hot", 1.7, 90, 1000.0)),
        energy=(),
        evidence=3,
        saved_at=1000.0,
        expires_s=7200.0,
    )
    lines = [" ".join(line.split()) for line in shown(tables_view(view, 4600.0)).splitlines()]
    assert "latency engine mains cool (now) 1.500 1.31 1,200 1 h" in lines
    assert "latency engine mains hot 1.700 90 1 h" in lines
    assert "atlas no atlas yet, work on it runs in the background" in lines
    assert "single entries as measured; frames of 3 subnets count as evidence" in lines
    fresh = msgspec.structs.replace(view, latency=(), atlas_members=256, rebuilding=False)
    assert "the tables are trusted as they are" in shown(tables_view(fresh, 4600.0))
