"""Slices of threads, as this kernel grants them."""

from __future__ import annotations

import os
import platform
import threading
from collections.abc import Iterator

import pytest

from adaspring.scheduling import LONG_SLICE_MS, ask_for_slice, be_idle, giving_way, may_be_idle, slice_ms

#: Whether this kernel grants slices: Linux does from 6.12 on.
GRANTS = tuple(int(part) for part in platform.release().split(".")[:2]) >= (6, 12)


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Leave the thread of the tests as it was."""
    yield
    ask_for_slice(0)


def in_a_thread() -> float | None:
    """The slice of a thread that is started now."""
    seen: list[float | None] = []
    thread = threading.Thread(target=lambda: seen.append(slice_ms()))
    thread.start()
    thread.join()
    return seen[0]


@pytest.mark.skipif(not GRANTS, reason="this kernel is older than 6.12")
def test_a_thread_gives_way_within_the_block_and_only_there() -> None:
    """What is in force within is taken back behind it, also when the block fails."""
    before = slice_ms()
    assert before is not None
    assert before < LONG_SLICE_MS
    seen: list[float | None] = []

    def fail() -> None:
        with giving_way():
            seen.append(slice_ms())
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert (seen, slice_ms()) == ([LONG_SLICE_MS], before)


@pytest.mark.skipif(not GRANTS, reason="this kernel is older than 6.12")
def test_threads_inherit_a_slice_and_no_other_thread_has_it() -> None:
    """A thread that is started within gives way too; one that ran before does not."""
    before, done = slice_ms(), threading.Event()
    seen: list[float | None] = []

    def look() -> None:
        done.wait()
        seen.append(slice_ms())

    other = threading.Thread(target=look)
    other.start()
    with giving_way():
        assert in_a_thread() == LONG_SLICE_MS
        done.set()
        other.join()
    assert seen == [before]


@pytest.mark.skipif(not GRANTS, reason="this kernel is older than 6.12")
@pytest.mark.parametrize(("asked", "granted"), [(0.01, 0.1), (3.0, 3.0), (1000.0, 100.0)])
def test_the_kernel_keeps_slices_within_its_bounds(asked: float, granted: float) -> None:
    """Longer or shorter ones than it knows become the longest or the shortest."""
    assert ask_for_slice(asked)
    assert slice_ms() == granted


def test_an_unknown_processor_keeps_nobody_from_working(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the numbers of the system calls are not known, the block runs as it would."""
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with giving_way():
        assert not ask_for_slice(3.0)
        assert slice_ms() is None


def test_a_thread_may_be_idle_where_it_may_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trial is made in a thread of its own, so that nobody is stuck where coming back is not allowed."""

    def only_there(thread: int, policy: int, parameters: os.sched_param) -> None:
        if policy != os.SCHED_IDLE:
            raise PermissionError("not here")
        really(thread, policy, parameters)

    really = os.sched_setscheduler
    monkeypatch.setattr(os, "sched_setscheduler", only_there)
    assert not may_be_idle()
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


@pytest.mark.skipif(not may_be_idle(), reason="RLIMIT_NICE does not let threads come back from the idle policy")
def test_another_thread_is_made_idle_and_back() -> None:
    """By whoever knows its number, and nobody else is."""
    known, leave = threading.Event(), threading.Event()
    number: list[int] = []

    def stay() -> None:
        number.append(threading.get_native_id())
        known.set()
        leave.wait()

    other = threading.Thread(target=stay)
    other.start()
    known.wait()
    be_idle(number[0], idle=True)
    assert (os.sched_getscheduler(number[0]), os.sched_getscheduler(0)) == (os.SCHED_IDLE, os.SCHED_OTHER)
    be_idle(number[0], idle=False)
    assert os.sched_getscheduler(number[0]) == os.SCHED_OTHER
    leave.set()
    other.join()
