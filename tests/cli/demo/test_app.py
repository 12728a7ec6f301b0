from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from adaspring.cli.demo.app import SensingApp

if TYPE_CHECKING:
    from tests.conftest import RunningPlane

Serve = Callable[..., "RunningPlane"]


@pytest.fixture
def sample(tmp_path: Path) -> Callable[..., Path]:
    """Writes samples of windows for the toy model, which names the index of the largest value."""

    def write(*shape: int) -> Path:
        windows = np.zeros((2, *shape))
        windows[0, 0, 0] = windows[1, 0, 1] = 1
        path = tmp_path / "sample.npz"
        np.savez(path, x=windows, y=[0, 2], class_names=["low", "middle", "high"])
        return path

    return write


def stream(app: SensingApp, until: Callable[[], bool]) -> None:
    """Let the app stream until something holds."""
    app.rate_hz = 500.0
    until_s = time.monotonic() + 10
    with app.streaming():
        while not until():
            assert time.monotonic() < until_s
            time.sleep(0.005)


def test_answers_are_counted(serve_toy: Serve, sample: Callable[..., Path]) -> None:
    """Right ones by their true label, with round trips and the subnets that gave them."""
    app = SensingApp(serve_toy().endpoint, sample(2, 3))
    stream(app, lambda: app.tally.answered >= 10)
    tally = app.tally
    assert (tally.answered, 0, "") == (tally.sent, tally.failed, tally.error)
    # Of the two windows, the first is answered rightly and the second as "middle" instead of "high".
    assert (tally.answered + 1) // 2 == tally.right == sum(tally.recent)
    assert {"toy-1"} == tally.subnets
    assert tally.last in {("low", "low"), ("high", "middle")}
    assert min(tally.round_trips_us) > 0


def test_failures_are_counted(serve_toy: Serve, sample: Callable[..., Path]) -> None:
    """A frame that is refused is neither answered nor forgotten, and the app goes on."""
    app = SensingApp(serve_toy().endpoint, sample(2, 4))
    stream(app, lambda: app.tally.failed >= 3)
    tally = app.tally
    assert (tally.failed, 0) == (tally.sent, tally.answered)
    assert "shape" in tally.error


def test_frames_that_are_turned_away_are_not_lost(serve_toy: Serve, sample: Callable[..., Path]) -> None:
    """A daemon that sheds load answers so, with a hint; that is no failure."""
    running = serve_toy()
    running.plane.shed(1e-9)
    app = SensingApp(running.endpoint, sample(2, 3))
    stream(app, lambda: app.tally.turned_away >= 2)
    tally = app.tally
    assert (tally.sent, 0) == (tally.turned_away + tally.answered, tally.failed)
