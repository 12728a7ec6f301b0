"""Where the long library calls of a preparation run: in the caller, or in a thread that gives way to all others.

Loading and warming a subnet hold a core for a millisecond or two, though not the interpreter's lock. Where cores are
few, those that carry frames (the data thread, the I/O thread of its socket, the clients) then wait behind them for as
long as the kernel lets a thread run on, which is longer than a frame takes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import get_native_id
from typing import Protocol, TypeVar

T = TypeVar("T")

#: By how much the thread is nicer than the one that starts it: it gets a third of what each of the others gets.
#: Nicer still, and a busy device would adapt late.
NICER = 5


class Beside(Protocol):
    """Runs work somewhere and gives its result; the caller waits. What the work raises is raised."""

    def __call__(self, work: Callable[[], T], /) -> T:
        """Run it."""


def here(work: Callable[[], T]) -> T:
    """Run work in the calling thread: where nobody is to give way to."""
    return work()


class NiceThread:
    """Runs work in a thread of its own, which is nicer than the one that made it.

    For work that does without the interpreter's lock: what holds the lock would keep everybody waiting while it
    gives way.
    """

    def __init__(self) -> None:
        """Start nothing yet; the thread begins with the first work."""
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="beside", initializer=_become_nicer)

    def __call__(self, work: Callable[[], T]) -> T:
        """See `Beside`."""
        return self._executor.submit(work).result()

    def close(self) -> None:
        """End the thread."""
        self._executor.shutdown()


def _become_nicer() -> None:
    # To Linux a thread is what others know as a process; this changes none but our own.
    own = get_native_id()
    # Where a sandbox forbids it, work goes on as before.
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, own, os.getpriority(os.PRIO_PROCESS, own) + NICER)
