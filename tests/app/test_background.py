from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from adaspring.app.background import BackgroundProfiler
from adaspring.bundle import Bundle
from adaspring.profile import Plan, load_tables

Make = Callable[..., BackgroundProfiler]


def wait_until_over(profiler: BackgroundProfiler) -> bool:
    """Ask as the control loop does; returns how it ended."""
    until_s = time.monotonic() + 100
    while time.monotonic() < until_s:
        if profiler.finished():
            return True
        if not profiler.running:
            return False
        time.sleep(0.02)
    raise AssertionError("the profile does not end")


@pytest.mark.usefixtures("own_measuring_lock")
def test_run_leaves_measured_tables(
    make_profiler: Make, tmp_path: Path, small_bundle: Bundle, nearly_profiled: Callable[..., Path]
) -> None:
    """A run in another process goes on from what was measured before, ends well once, and its tables can be read."""
    path = nearly_profiled(tmp_path / "state")
    profiler = make_profiler()
    assert not profiler.running
    profiler.start()
    assert profiler.running
    assert wait_until_over(profiler)
    assert not profiler.finished()
    facts = load_tables(path, small_bundle.space).facts
    assert (False, Plan().subnets) == (facts.estimate, facts.subnets)
    assert [path] == list(path.parent.iterdir())


def test_failure_is_logged_once(make_profiler: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A run that fails is over, never finished, and the journal says what to do, once."""
    profiler = make_profiler(tmp_path / "no bundle")
    profiler.start()
    assert not wait_until_over(profiler)
    assert not profiler.finished()
    [record] = caplog.records
    assert logging.ERROR == record.levelno
    assert "'adaspring profile' in the background ended with 1" in record.message


def test_stop_ends_the_run(make_profiler: Make) -> None:
    """A daemon that ends leaves no profile behind; stopping what does not run does nothing."""
    profiler = make_profiler()
    profiler.stop()
    profiler.start()
    profiler.stop()
    assert not profiler.running
    profiler.stop()


def test_stop_waits_a_moment_only(make_profiler: Make) -> None:
    """A run that cannot end by itself, as one that the system has put to sleep, is killed."""
    profiler = make_profiler()
    profiler.start()
    assert profiler._process is not None
    process = psutil.Process(profiler._process.pid)
    process.suspend()
    while process.status() != psutil.STATUS_STOPPED:
        time.sleep(0.001)
    profiler.stop()
    assert not process.is_running()
