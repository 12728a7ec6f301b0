"""Logs of a fleet of four, merged: two boards of a kind, one that only estimates, one that lost power."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from adaspring.app.decisions import DECISIONS, TABLES, DecisionLog
from adaspring.boards import load_profile
from adaspring.bundle import Bundle
from adaspring.cli.adaspring import main
from adaspring.cli.fleet.merge import Served, merge
from adaspring.cli.fleet.page import fleet_page
from adaspring.context.model import Context
from adaspring.decide import Cause, Planner, Policy
from adaspring.errors import TableError
from adaspring.profile import estimate_tables
from adaspring.resources import resource
from adaspring.tables import DeviceTables, SlotTable

CALM = Context(at_s=1.0, battery_percent=90.0)
#: Nothing fits into so little memory, and frames took longer than any policy allows.
HARD = Context(at_s=2.0, memory_available_mib=0.001, latency_p95_us=1e9)
#: How much slower the second board of a kind is, and how much its own tables changed.
SLOWER, CHANGE = 1.5, 1.2


@pytest.fixture
def keep(small_bundle: Bundle, tmp_path: Path) -> Callable[..., Path]:
    """Keeps decisions as the daemon of a device does; returns the folder of their planner."""
    board = load_profile("generic-x86_64", folder=resource("device_profiles"))
    estimate = estimate_tables(small_bundle, "onnxruntime", board)

    def made(device: str, created: str, contexts: list[Context], *, times: float = 0.0, factor: float = 1.0) -> Path:
        facts = msgspec.structs.replace(estimate.facts, created=created, estimate=not times)
        latency = SlotTable(estimate.latency_us.values * (times or 1.0), estimate.latency_us.head * (times or 1.0))
        tables = DeviceTables(facts=facts, latency_us=latency, energy_mj=estimate.energy_mj)
        planner = Planner(small_bundle.space, small_bundle.accuracy.percent, tables, Policy())
        log = DecisionLog(tmp_path / "fleet" / device / "decisions" / "toy")
        for hour, context in enumerate(contexts):
            decision = planner.decide(context, None, Cause("operator", "a test asked"))
            corrections = msgspec.structs.replace(decision.corrections, latency_factor=factor)
            decision = msgspec.structs.replace(decision, corrections=corrections)
            log.keep(decision, planner, at=f"{created[:11]}{hour:02d}:00:00.000+00:00")
        log.close()
        return tmp_path / "fleet" / device / "decisions" / "toy" / planner.fingerprint

    return made


@pytest.fixture
def fleet(keep: Callable[..., Path], tmp_path: Path) -> Path:
    """The folder of all logs."""
    keep("board-a", "2026-01-01T00:00:00+00:00", [CALM, HARD], times=1.0)
    keep("board-b", "2026-01-01T00:00:00+00:00", [CALM], times=SLOWER / CHANGE)
    keep("board-b", "2026-01-02T00:00:00+00:00", [CALM, CALM], times=SLOWER, factor=1.3)
    keep("guessing", "2026-01-03T00:00:00+00:00", [CALM])
    torn = keep("torn", "2026-01-04T00:00:00+00:00", [CALM, CALM])
    (torn / DECISIONS).write_bytes((torn / DECISIONS).read_bytes()[:-30])
    (torn / TABLES).unlink()
    return tmp_path / "fleet"


def by_device(folder: Path) -> dict[str, Served]:
    """What was merged, by device."""
    return {each.device: each for each in merge(folder).served}


def test_what_runs_where(fleet: Path, small_bundle: Bundle) -> None:
    """Board, bundle, kind of tables, and the newest subnet with its time."""
    told = by_device(fleet)
    assert ["board-a", "board-b", "guessing", "torn"] == list(told)
    assert ("generic-x86_64", "toy", small_bundle.digest, False) == (
        told["board-b"].board, told["board-b"].model, told["board-b"].bundle, told["board-b"].estimate,
    )  # fmt: skip
    assert [False, False, True, None] == [each.estimate for each in told.values()]
    assert "2026-01-02T01:00:00.000+00:00" == told["board-b"].last
    assert 3 == told["board-b"].decisions
    assert small_bundle.space.parse(told["board-a"].subnet) is not None


def test_drift_is_told_against_itself_and_against_the_fleet(fleet: Path) -> None:
    """By how much latencies changed on a device, and how far they lie from those of its kind."""
    told = by_device(fleet)
    assert told["board-b"].tables_changed_percent == pytest.approx(100 * (CHANGE - 1))
    assert told["board-a"].tables_changed_percent is None
    usual = (1 + SLOWER) / 2
    assert told["board-a"].against_fleet_percent == pytest.approx(100 * (1 / usual - 1))
    assert told["board-b"].against_fleet_percent == pytest.approx(100 * (SLOWER / usual - 1))
    assert told["guessing"].typical_us is None
    assert (1.0, 1.3, 1.3) == told["board-b"].latency_factors
    assert np.isfinite(told["board-a"].typical_us or np.nan)


def test_violations_are_counted(fleet: Path) -> None:
    """Decisions that could not meet every budget, by budget, and those that came after late frames."""
    told = by_device(fleet)
    assert (1, 1) == (told["board-a"].violations, told["board-a"].late)
    assert "memory" in told["board-a"].relaxed
    assert (0, 0, {}) == (told["board-b"].violations, told["board-b"].late, told["board-b"].relaxed)
    assert {"operator": 2} == told["board-a"].causes


def test_what_cannot_be_read_is_told_and_left_out(fleet: Path) -> None:
    """Half a line and missing tables spoil neither the device nor the fleet."""
    merged = merge(fleet)
    assert 1 == by_device(fleet)["torn"].decisions
    assert any("1 of 2 lines are no decisions" in finding and "line 2" in finding for finding in merged.findings)
    assert any(f"{TABLES} is missing" in finding for finding in merged.findings)


def test_the_command_writes_a_page_that_stands_alone(
    fleet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Page and JSON say the same of every device; names of devices are escaped; the last line sums up."""
    (fleet / "torn").rename(fleet / "<torn>")
    assert 0 == main(["fleet", "report", str(fleet), "--out", str(tmp_path / "out")])
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert {"devices": 4, "decisions": 7, "violations": 1, "late": 1} == summary
    page = (tmp_path / "out" / "fleet.html").read_text()
    assert page == fleet_page(merge(fleet))
    assert "&lt;torn&gt;" in page
    assert "<torn>" not in page
    assert "<script" not in page
    assert "http" not in page
    assert 2 == page.count("<svg")
    read = json.loads((tmp_path / "out" / "fleet.json").read_text())
    assert all(each["subnet"] in page for each in read["served"])


def test_a_folder_without_decisions_is_refused(tmp_path: Path) -> None:
    """The message says what it must hold."""
    (tmp_path / "board" / "har" / "0").mkdir(parents=True)
    (tmp_path / "board" / "har" / "0" / DECISIONS).write_bytes(b"")
    with pytest.raises(TableError, match="a folder for each device"):
        merge(tmp_path)
