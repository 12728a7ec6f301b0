from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from adaspring.app.learning import (
    DRIFT_S,
    EVIDENCE_FRAMES,
    SAVE_S,
    VERSION,
    LearnedFile,
    Learner,
    load_learned,
)
from adaspring.context.model import Context
from adaspring.decide import Planner
from adaspring.space import Genome
from adaspring.tables import DeviceTables, Evidence, Learned, SlotTable

CONTEXT = Context(at_s=0.0, external_power=True, temperature_c=40.0)


class Wall:
    """A wall clock that a test turns."""

    def __init__(self) -> None:
        """Begin in 2001."""
        self.now = 1e9

    def __call__(self) -> float:
        """Seconds since 1970."""
        return self.now


@pytest.fixture
def wall() -> Wall:
    """A clock of the test's own."""
    return Wall()


def taught(path: Path, planner: Planner, wall: Wall, boot: Wall | None = None) -> Learner:
    """A learner whose corrections the planner uses; without a time since boot nobody sets the wall clock."""
    learner = Learner(path, planner.tables, wall=wall, since_boot=boot or wall)
    planner.correction, planner.energy_correction = learner.latency, learner.energy
    return learner


def frames(planner: Planner, genome: Genome, factor: float) -> npt.NDArray[np.float64]:
    """A window of frames that take so much longer than the table says."""
    predicted = float(planner.tables.latency_us.evaluate(planner.space, genome[None])[0])
    return np.full(EVIDENCE_FRAMES, factor * predicted)


def test_learning_survives_a_restart_and_is_written_seldom(
    tmp_path: Path, make_planner: Callable[..., Planner], as_measured: DeviceTables, wall: Wall
) -> None:
    """Factors and evidence come back; the file is replaced whole, and not more often than flash bears."""
    planner, path = make_planner(tables=as_measured), tmp_path / "learned.json"
    learner = taught(path, planner, wall)
    genome = planner.space.full()
    learner.observe(planner, genome, frames(planner, genome, 2.0), CONTEXT)
    learner.save_if_due()
    assert not path.exists()
    wall.now += SAVE_S
    learner.save_if_due()
    assert [path] == list(tmp_path.iterdir())
    again = taught(path, make_planner(tables=as_measured), wall)
    assert learner.latency.learned() == again.latency.learned()
    assert again.latency.factor(*planner.conditions(CONTEXT)) == pytest.approx(2.0)
    assert learner.evidence == again.evidence
    assert len(again.evidence) == 1


def dated(learner: Learner) -> list[Learned | Evidence]:
    """All that it would keep with a date."""
    return [*learner.latency.learned(), *learner.energy.learned(), *learner.evidence]


@pytest.mark.parametrize("years", [56, -56])
def test_a_wall_clock_that_is_set_ages_nothing(
    tmp_path: Path, make_planner: Callable[..., Planner], as_measured: DeviceTables, wall: Wall, years: int
) -> None:
    """What was learned before the clock was first synchronised stays, dated as if it had been right all along."""
    planner, path, boot = make_planner(tables=as_measured), tmp_path / "learned.json", Wall()
    learner = taught(path, planner, wall, boot)
    genome = planner.space.full()
    learner.observe(planner, genome, frames(planner, genome, 2.0), CONTEXT)
    for look in range(200):
        learner.energy.observe(look % 20, 3.0 * (look % 20) + 1.0)
    before = dated(learner)
    assert len(before) == 3

    moved_s = years * 365 * 86_400.0
    wall.now += moved_s + 1
    boot.now += 1
    learner.observe(planner, genome, frames(planner, genome, 2.0)[:0], CONTEXT)
    assert [msgspec.structs.replace(piece, at=piece.at + moved_s) for piece in before] == dated(learner)
    learner.save_if_due()
    assert not path.exists()
    wall.now += SAVE_S
    boot.now += SAVE_S
    learner.save_if_due()
    assert path.exists()


@pytest.mark.parametrize("content", [b"", b"{", b'{"version": 99}', b"[1]"])
def test_a_damaged_file_starts_anew(tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """What cannot be read is learned again; a device in the field goes on serving."""
    path = tmp_path / "learned.json"
    path.write_bytes(content)
    assert LearnedFile(VERSION, "then", (), (), ()) == load_learned(path, "then")
    assert "corrections start anew" in caplog.text


def test_other_tables_begin_anew_and_corrected_ones_go_on(
    tmp_path: Path, make_planner: Callable[..., Planner], as_measured: DeviceTables, wall: Wall
) -> None:
    """Factors belong to the tables they were measured against; correcting single entries keeps them."""
    planner = make_planner(tables=as_measured)
    learner = taught(tmp_path / "learned.json", planner, wall)
    genome = planner.space.full()
    learner.observe(planner, genome, frames(planner, genome, 2.0), CONTEXT)
    learner.adopt(as_measured)
    assert learner.latency.factor(*planner.conditions(CONTEXT)) == pytest.approx(2.0)
    facts = msgspec.structs.replace(as_measured.facts, created="later")
    learner.adopt(msgspec.structs.replace(as_measured, facts=facts))
    assert learner.latency.learned() == ()


def test_drift_is_seen_once_single_entries_are_off(
    tmp_path: Path, make_planner: Callable[..., Planner], as_measured: DeviceTables, wall: Wall
) -> None:
    """Subnets that all take twice their prediction are no drift; some that take half as long again are."""
    planner = make_planner(tables=as_measured)
    learner = taught(tmp_path / "learned.json", planner, wall)
    space = planner.space
    subnets = space.random(np.random.default_rng(0), 30)
    for genome in subnets:
        learner.observe(planner, genome, frames(planner, genome, 2.0), CONTEXT)
    wall.now += DRIFT_S
    assert learner.drifted_percent(planner) is None
    truth = SlotTable(planner.tables.latency_us.values.copy(), planner.tables.latency_us.head)
    truth.values[:, 0] *= 2.0
    truth.values[:, 1] *= 0.5
    for genome in subnets:
        learner.observe(planner, genome, np.full(EVIDENCE_FRAMES, truth.evaluate(space, genome[None])[0]), CONTEXT)
    assert learner.drifted_percent(planner) is None
    wall.now += DRIFT_S
    drift = learner.drifted_percent(planner)
    assert drift is not None
    assert drift > 5.0
