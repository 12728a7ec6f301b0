from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import get_ident, get_native_id
from time import sleep
from typing import TypeVar

import numpy as np
import pytest

from adaspring.bundle import Bundle
from adaspring.engine import YieldingThread, here
from adaspring.engine import beside as beside_module
from adaspring.engine.beside import NICER
from adaspring.engine.onnx.engine import OnnxEngine
from adaspring.errors import EngineError
from adaspring.scheduling import be_idle, may_be_idle

T = TypeVar("T")


@pytest.fixture
def beside() -> Iterator[YieldingThread]:
    """A thread that ends with the test."""
    thread = YieldingThread()
    yield thread
    thread.close()


def niceness() -> int:
    """Of the calling thread."""
    return os.getpriority(os.PRIO_PROCESS, get_native_id())


def policy() -> int:
    """Of the calling thread."""
    return os.sched_getscheduler(get_native_id())


def test_work_runs_in_one_thread_and_the_caller_stays_as_it_was(beside: YieldingThread) -> None:
    """The thread is the same however often it is asked, and never the caller's, whose priority nothing changes."""
    before = niceness(), policy()
    ran = {beside(get_ident) for _ in range(3)}
    assert len(ran) == 1
    assert get_ident() not in ran
    assert before == (niceness(), policy())


@pytest.mark.skipif(not may_be_idle(), reason="RLIMIT_NICE does not let threads come back from the idle policy")
def test_long_work_is_idle_for_a_while_and_ends_as_it_began(
    beside: YieldingThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It begins at the thread's own priority, is then done while a core is free, and goes on as any other."""
    seen: list[int] = []

    def told(thread: int, *, idle: bool) -> None:
        be_idle(thread, idle=idle)
        seen.append(os.sched_getscheduler(thread))

    def through() -> int:
        first = policy()
        sleep(0.2)
        return first

    monkeypatch.setattr(beside_module, "be_idle", told)
    assert beside(through) == os.SCHED_OTHER
    assert seen == [os.SCHED_IDLE, os.SCHED_OTHER]
    assert beside(policy) == os.SCHED_OTHER


def test_where_it_may_not_be_idle_the_thread_is_nicer(monkeypatch: pytest.MonkeyPatch) -> None:
    """By as much however often it is asked, and the caller is not."""
    monkeypatch.setattr(beside_module, "may_be_idle", lambda: False)
    thread, before = YieldingThread(), niceness()
    try:
        assert [thread(niceness) for _ in range(3)] == [min(19, before + NICER)] * 3
        assert niceness() == before
    finally:
        thread.close()


def test_what_work_raises_reaches_the_caller(beside: YieldingThread) -> None:
    """And the thread takes the next work all the same."""
    with pytest.raises(ZeroDivisionError):
        beside(lambda: 1 // 0)
    assert beside(lambda: "next") == "next"


def test_a_sandbox_that_forbids_it_keeps_nobody_from_working(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where priorities must not be changed, work runs at the one there is."""

    def refuse(*_: int) -> None:
        raise PermissionError("not here")

    monkeypatch.setattr(os, "setpriority", refuse)
    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    thread = YieldingThread()
    try:
        assert thread(niceness) == niceness()
    finally:
        thread.close()


def test_the_onnx_engine_loads_beside_and_assembles_in_the_caller(small_bundle: Bundle) -> None:
    """What holds the interpreter's lock stays where it is; the subnet is the same as one prepared here."""
    ran: list[Callable[[], object]] = []

    def recorded(work: Callable[[], T]) -> T:
        ran.append(work)
        return here(work)

    genome = small_bundle.space.smallest()
    x = np.ones((1, *small_bundle.manifest.input.shape), dtype=np.float32)
    prepared = OnnxEngine(small_bundle, beside=recorded).prepare(genome)
    assert len(ran) == 1
    assert min(prepared.assemble_us, prepared.load_us, prepared.warm_us) > 0
    np.testing.assert_array_equal(prepared.subnet.run(x), OnnxEngine(small_bundle).prepare(genome).subnet.run(x))


def test_threads_that_compute_frames_are_not_nicer(small_bundle: Bundle, beside: YieldingThread) -> None:
    """Those of a session would inherit it from the thread that makes the session."""
    tasks = Path("/proc/self/task")
    before = set(tasks.iterdir())
    prepared = OnnxEngine(small_bundle, threads=2, beside=beside).prepare(small_bundle.space.smallest())
    made = [int(thread.name) for thread in set(tasks.iterdir()) - before]
    assert {niceness()} == {os.getpriority(os.PRIO_PROCESS, thread) for thread in made}
    assert prepared.subnet.batch_sizes == (1,)


def test_a_failure_beside_is_an_error_of_the_engine(small_bundle: Bundle) -> None:
    """As one in the caller is: whatever ran before goes on."""

    def fail(_work: Callable[[], T]) -> T:
        raise RuntimeError("no memory")

    with pytest.raises(EngineError, match="no memory"):
        OnnxEngine(small_bundle, beside=fail).prepare(small_bundle.space.smallest())
