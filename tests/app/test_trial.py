from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from adaspring.app.trial import NOTE_S, Trial, TrialConfig, begin_trial, roll_back
from adaspring.bundle import Bundle, Store
from adaspring.space import SpaceSpec

CONFIG = TrialConfig(duration_s=100.0, starts=3, failed_percent=1.0, latency_ratio=2.0)


class Loop:
    """What a trial sees of the control loop: health that the test sets."""

    def __init__(self) -> None:
        """In good health, with nothing answered yet."""
        self.health: dict[str, Any] = {"answered": 0, "failed": 0, "frames": 0, "p95_us": None}
        self.again: list[str] = []

    def status(self) -> Any:
        """The part of a status that a trial reads."""
        health = self.health
        return SimpleNamespace(
            requests=SimpleNamespace(answered=health["answered"], failed=health["failed"]),
            measured=SimpleNamespace(frames=health["frames"], latency_p95_us=health["p95_us"]),
        )

    def start_over(self, why: str) -> None:
        """Remember why."""
        self.again.append(why)


@pytest.fixture
def store(make_bundle: Callable[[SpaceSpec, Path], Bundle], small_spec: SpaceSpec, tmp_path: Path) -> Store:
    """Version 1 committed, version 2 on trial."""
    made = Store(tmp_path / "bundles" / "toy")
    folder = tmp_path / "bundle"
    make_bundle(small_spec, folder)
    for version in "12":
        manifest = json.loads((folder / "manifest.json").read_text())
        (folder / "manifest.json").write_text(json.dumps(manifest | {"version": version}))
        made.install(folder, keys=(), allow_unsigned=True)
        if version == "1":
            made.commit()
    return made


def version(store: Store) -> tuple[str, bool]:
    """Version that is current, and whether it is on trial."""
    pointer = store.pointer()
    assert pointer is not None
    return pointer.current.partition("-")[0], pointer.trial is not None


def test_starts_in_vain_lead_back(store: Store) -> None:
    """A version that never got as far as ending well is left after so many starts."""
    for _ in range(CONFIG.starts):
        begin_trial(store, CONFIG)
        assert version(store) == ("2", True)
    begin_trial(store, CONFIG)
    assert version(store) == ("1", False)


def test_starts_that_end_well_do_not_count(store: Store) -> None:
    """Restarts and power-downs in good order are no failures."""
    for _ in range(3 * CONFIG.starts):
        begin_trial(store, CONFIG)
        Trial(store, CONFIG, None).close()
    assert version(store) == ("2", True)


@pytest.mark.parametrize(
    ("health", "why"),
    [
        ({"answered": 95, "failed": 5}, "5 of 100 requests failed"),
        ({"answered": 100, "frames": 100, "p95_us": 250.0}, "250 us at the 95th percentile; before it was 100 us"),
    ],
)
def test_worse_health_leads_back(store: Store, health: dict[str, Any], why: str) -> None:
    """More errors or a higher latency roll back, once, and the daemon begins again with the version before."""
    loop = Loop()
    trial = Trial(store, CONFIG, before_p95_us=100.0)
    trial.observe(loop)
    assert version(store) == ("2", True)
    loop.health.update(health)
    trial.observe(loop)
    trial.observe(loop)
    trial.close()
    assert version(store) == ("1", False)
    assert len(loop.again) == 1
    assert why in loop.again[0]


@pytest.mark.parametrize(
    "health", [{"answered": 3, "failed": 1}, {"answered": 1000, "failed": 1}, {"frames": 100, "p95_us": 150.0}]
)
def test_small_worsening_is_borne(store: Store, health: dict[str, Any]) -> None:
    """A single failure, or a latency within the ratio, is no reason."""
    loop = Loop()
    loop.health.update(health)
    Trial(store, CONFIG, before_p95_us=100.0).observe(loop)
    assert version(store) == ("2", True)


def test_good_health_commits_over_restarts(store: Store) -> None:
    """The time in good health adds up over restarts, and its end commits; notes are few."""
    now_s = 0.0
    loop = Loop()
    for _ in range(2):
        begin_trial(store, CONFIG)
        trial = Trial(store, CONFIG, None, clock=lambda: now_s)  # noqa: B023 - it is meant to turn
        now_s += CONFIG.duration_s / 2 - 1
        trial.observe(loop)
        assert version(store) == ("2", True)
        trial.close()
    trial = Trial(store, CONFIG, None, clock=lambda: now_s)
    now_s += 2.0
    trial.observe(loop)
    assert version(store) == ("2", False)
    assert CONFIG.duration_s > NOTE_S


def test_operator_ends_the_trial(store: Store) -> None:
    """After a commit by hand nothing is judged any more."""
    loop = Loop()
    trial = Trial(store, CONFIG, before_p95_us=100.0)
    store.commit()
    trial.observe(loop)
    loop.health.update(answered=0, failed=100)
    trial.observe(loop)
    trial.close()
    assert version(store) == ("2", False)


def test_operator_who_was_faster_is_not_overruled(store: Store) -> None:
    """A complaint about a version that an operator has taken back leads no further back."""
    trial = Trial(store, CONFIG, before_p95_us=100.0)
    judged = store.pointer()
    store.rollback()
    assert roll_back(store, "slow", judged.current if judged else None) == store.pointer()
    loop = Loop()
    loop.health.update(answered=0, failed=100)
    trial.observe(loop)
    trial.close()
    assert version(store) == ("1", False)
