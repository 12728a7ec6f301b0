from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from itertools import count, pairwise
from pathlib import Path

import msgspec
import pytest

from adaspring.app.decisions import (
    DECISIONS,
    MOST_PLANNERS,
    POLICY,
    TABLES,
    WRITE_S,
    DecisionLog,
    KeptDecision,
    redecide,
)
from adaspring.bundle import Bundle
from adaspring.cli.adaspring import main
from adaspring.context.model import Context
from adaspring.decide import Cause, Planner, Policy
from adaspring.errors import TableError

CAUSE = Cause("operator", "a test asked")
CONTEXTS = [
    Context(at_s=0.0, battery_percent=90.0),
    Context(at_s=1.0, battery_percent=15.0, event_rate_hz=100.0, memory_available_mib=1.0),
    Context(at_s=2.0, throttled=True, reasons={"battery_percent": "no battery"}),
]


def keep_all(log: DecisionLog, planner: Planner) -> None:
    """Decide for every context, with what was learned in between, and keep it all."""
    incumbent = None
    for context in CONTEXTS:
        decision = planner.decide(context, incumbent, CAUSE)
        incumbent = planner.space.check(decision.genome)
        planner.observe(incumbent, decision.predicted.latency_us * 1.2)
        log.keep(decision, planner, at="2026-01-01T00:00:00.000+00:00", boot_id="b")
    log.close()


@pytest.fixture
def planner(make_planner: Callable[..., Planner]) -> Planner:
    """Decides for the small bundle."""
    return make_planner(Policy())


def test_kept_decisions_are_made_again_bit_for_bit(
    tmp_path: Path,
    planner: Planner,
    small_bundle: Bundle,
    small_bundle_folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """From the folder and the bundle alone each comes out the same; the command says so."""
    keep_all(DecisionLog(tmp_path), planner)
    results = list(redecide(tmp_path / planner.fingerprint, small_bundle))
    assert [True] * len(CONTEXTS) == [result.same for result in results]
    assert CONTEXTS == [result.kept.context for result in results]
    line = (tmp_path / planner.fingerprint / DECISIONS).read_bytes().splitlines()[0]
    kept = msgspec.json.decode(line, type=KeptDecision)
    assert ("2026-01-01T00:00:00.000+00:00", "b") == (kept.at, kept.boot_id)
    assert main(["redecide", str(tmp_path), "--bundle", str(small_bundle_folder)]) == 0
    assert json.loads(capsys.readouterr().out) == {"decisions": 3, "same": 3, "different": []}


def test_a_line_in_which_the_power_went_takes_no_other_with_it(
    tmp_path: Path, planner: Planner, small_bundle: Bundle
) -> None:
    """What a start finds of it is cut off, and what is kept behind it can be made again."""
    keep_all(DecisionLog(tmp_path), planner)
    path = tmp_path / planner.fingerprint / DECISIONS
    whole = path.read_bytes()
    path.write_bytes(whole + whole[: len(whole) // 7])
    keep_all(DecisionLog(tmp_path), planner)
    assert path.read_bytes().startswith(whole)
    assert all(result.same for result in redecide(tmp_path / planner.fingerprint, small_bundle))


def test_a_decision_that_was_changed_is_told_by_line(
    tmp_path: Path, planner: Planner, small_bundle_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever edits a kept decision is found out, and the exit status says it."""
    keep_all(DecisionLog(tmp_path), planner)
    path = tmp_path / planner.fingerprint / DECISIONS
    lines = path.read_bytes().splitlines()
    forged = msgspec.json.decode(lines[1])
    forged["objective"] = 0.0
    lines[1] = msgspec.json.encode(forged)
    path.write_bytes(b"\n".join(lines))
    assert main(["redecide", str(tmp_path), "--bundle", str(small_bundle_folder)]) == 1
    assert json.loads(capsys.readouterr().out)["different"] == [f"{path}:2"]


@pytest.mark.parametrize("name", [TABLES, POLICY])
def test_a_folder_with_a_hole_is_refused(tmp_path: Path, planner: Planner, small_bundle: Bundle, name: str) -> None:
    """The message names what is missing."""
    keep_all(DecisionLog(tmp_path), planner)
    (tmp_path / planner.fingerprint / name).unlink()
    with pytest.raises(TableError, match=f"has no {name}"):
        list(redecide(tmp_path / planner.fingerprint, small_bundle))


def test_a_torn_line_is_told(tmp_path: Path, planner: Planner, small_bundle: Bundle) -> None:
    """A device that lost power while writing leaves half a line; its number is told."""
    keep_all(DecisionLog(tmp_path), planner)
    path = tmp_path / planner.fingerprint / DECISIONS
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(TableError, match=rf"{DECISIONS}:3: this is no decision"):
        list(redecide(tmp_path / planner.fingerprint, small_bundle))


def test_files_and_folders_stay_bounded(tmp_path: Path, make_planner: Callable[..., Planner]) -> None:
    """Old decisions give way to new ones, and old planners, too."""
    # At every look at the clock it is time to write.
    log = DecisionLog(tmp_path, most_bytes=1, clock=count(step=WRITE_S).__next__)
    for step in range(MOST_PLANNERS + 2):
        planner = make_planner(Policy(switching_cost=0.01 * (step + 1)))
        keep_all(log, planner)
        os.utime(tmp_path / planner.fingerprint, (step, step))
    assert len(list(tmp_path.iterdir())) == MOST_PLANNERS
    for name in (DECISIONS, f"{DECISIONS}.1"):
        assert len((tmp_path / planner.fingerprint / name).read_bytes().splitlines()) == 1


def test_an_hour_of_decisions_is_a_bounded_number_of_writes(
    tmp_path: Path, planner: Planner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often is decided, less than 1 MB is written in an hour, once a minute at most; the rest is counted."""
    now_s, writes = 0.0, []
    append = DecisionLog._append

    def appended(log: DecisionLog, lines: bytes) -> None:
        writes.append((now_s, len(lines)))
        append(log, lines)

    monkeypatch.setattr(DecisionLog, "_append", appended)
    log = DecisionLog(tmp_path, clock=lambda: now_s)
    decision = planner.decide(CONTEXTS[0], None, CAUSE)
    for second in range(2 * 3600):
        now_s = float(second)
        log.keep(decision, planner)
        log.observe()
    log.close()
    assert all(later - earlier >= WRITE_S for (earlier, _), (later, _) in pairwise(writes[:-1]))
    folder = tmp_path / planner.fingerprint
    others = sum((folder / name).stat().st_size for name in (TABLES, POLICY))
    first = sum(size for at, size in writes if at < 3600)
    assert first + others <= 1_000_000
    assert first > 10 * len(msgspec.json.encode(decision))
    kept = [msgspec.json.decode(line, type=KeptDecision) for line in (folder / DECISIONS).read_bytes().splitlines()]
    assert 0 == kept[0].left_out
    assert 2 * 3600 - 100 < len(kept) + sum(each.left_out for each in kept) <= 2 * 3600


def test_what_waits_is_written_in_time(tmp_path: Path, planner: Planner) -> None:
    """The first decision at once; later ones a minute after it, also where no other follows, or at the end."""
    now_s = 0.0
    log = DecisionLog(tmp_path, clock=lambda: now_s)
    decision = planner.decide(CONTEXTS[0], None, CAUSE)

    def written() -> int:
        return len((tmp_path / planner.fingerprint / DECISIONS).read_bytes().splitlines())

    for _ in range(3):
        log.keep(decision, planner)
    log.observe()
    assert 1 == written()
    now_s = WRITE_S
    log.observe()
    assert 3 == written()
    log.keep(decision, planner)
    assert 3 == written()
    log.close()
    assert 4 == written()


def test_a_full_disk_is_told_once_and_harms_nobody(
    tmp_path: Path, planner: Planner, caplog: pytest.LogCaptureFixture
) -> None:
    """Where nothing can be written, deciding goes on."""
    (tmp_path / "file").touch()
    with caplog.at_level(logging.WARNING):
        keep_all(DecisionLog(tmp_path / "file"), planner)
    assert len([record for record in caplog.records if "cannot be kept" in record.message]) == 1


def test_no_decisions_is_an_error(
    tmp_path: Path, small_bundle_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An empty folder is told, not taken for success."""
    assert main(["redecide", str(tmp_path), "--bundle", str(small_bundle_folder)]) == 1
    assert "there are no decisions in" in capsys.readouterr().err
