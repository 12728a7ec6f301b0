from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import get_ident, get_native_id
from typing import TypeVar

import numpy as np
import pytest

from adaspring.bundle import Bundle
from adaspring.engine import NiceThread, here
from adaspring.engine.beside import NICER
from adaspring.engine.onnx.engine import OnnxEngine
from adaspring.errors import EngineError

T = TypeVar("T")


@pytest.fixture
def beside() -> Iterator[NiceThread]:
    """A thread that ends with the test."""
    thread = NiceThread()
    yield thread
    thread.close()


def niceness() -> int:
    """Of the calling thread."""
    return os.getpriority(os.PRIO_PROCESS, get_native_id())


def test_work_runs_in_one_nicer_thread_and_the_caller_stays_as_it_was(beside: NiceThread) -> None:
    """The thread is nicer by as much however often it is asked, and it is never the caller's."""
    before = niceness()
    ran = [beside(lambda: (get_ident(), niceness())) for _ in range(3)]
    assert len(set(ran)) == 1
    assert ran[0][0] != get_ident()
    assert (ran[0][1], niceness()) == (min(19, before + NICER), before)


def test_what_work_raises_reaches_the_caller(beside: NiceThread) -> None:
    """And the thread takes the next work all the same."""
    with pytest.raises(ZeroDivisionError):
        beside(lambda: 1 // 0)
    assert beside(lambda: "next") == "next"


def test_a_sandbox_that_forbids_it_keeps_nobody_from_working(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where priorities must not be changed, work runs at the one there is."""

    def refuse(*_: int) -> None:
        raise PermissionError("not here")

    monkeypatch.setattr(os, "setpriority", refuse)
    thread = NiceThread()
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


def test_threads_that_compute_frames_are_not_nicer(small_bundle: Bundle, beside: NiceThread) -> None:
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
