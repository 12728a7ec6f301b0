"""Where the long library calls of a preparation run: in the caller, or in a thread that gives way to all others.

Loading and warming a subnet hold a core for a millisecond or two, though not the interpreter's lock. Where cores are
few, those that carry frames (the data thread, the I/O thread of its socket, the clients) then wait behind them for as
long as the kernel lets a thread run on, which is longer than a frame takes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from threading import get_native_id
from typing import Protocol, TypeVar

from adaspring.scheduling import LONG_SLICE_MS, ask_for_slice, be_idle, may_be_idle

T = TypeVar("T")

#: By how much the thread is nicer than the one that starts it, where it may not be idle: it gets a third of what each
#: of the others gets. Nicer still, and a busy device would adapt late.
NICER = 5

#: So long work begins at the thread's own priority, in seconds: the making of a session begins with the interpreter's
#: lock held, and who holds that must not give way.
BEGINNING_S = 3e-4

#: So long it is then done only while a core has nothing else to do, in seconds. What has not ended by then has found
#: the cores busy with others; it goes on at the thread's own priority, or a busy device would adapt late.
PATIENCE_S = 1.5e-3


class Beside(Protocol):
    """Runs work somewhere and gives its result; the caller waits. What the work raises is raised."""

    def __call__(self, work: Callable[[], T], /) -> T:
        """Run it."""


def here(work: Callable[[], T]) -> T:
    """Run work in the calling thread: where nobody is to give way to."""
    return work()


class YieldingThread:
    """Runs work in a thread of its own, which gives way to all others.

    For work that, but for its beginning, does without the interpreter's lock: what holds the lock would keep
    everybody waiting while it gives way.
    """

    def __init__(self) -> None:
        """Start the thread: who it is has to be known before it can be told to give way."""
        self._idles = may_be_idle()
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="beside")
        self._thread = self._executor.submit(self._begin).result()

    def __call__(self, work: Callable[[], T]) -> T:
        """See `Beside`."""
        future = self._executor.submit(work)
        if self._idles and not _done(future, BEGINNING_S):
            # This thread has the interpreter's lock now, so the other one does not.
            be_idle(self._thread, idle=True)
            try:
                _done(future, PATIENCE_S)
            finally:
                be_idle(self._thread, idle=False)
        return future.result()

    def close(self) -> None:
        """End the thread."""
        self._executor.shutdown()

    def _begin(self) -> int:
        thread = get_native_id()
        ask_for_slice(LONG_SLICE_MS)
        if not self._idles:
            # To Linux a thread is what others know as a process; this changes none but our own.
            # Where a sandbox forbids it, work goes on as before.
            with suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + NICER)
        return thread


def _done(future: Future[T], within_s: float) -> bool:
    return bool(wait([future], within_s).done)
