"""Threads that read sensors, so that a read which hangs holds nobody else.

A read of sysfs ends up in a driver, and a driver may wait: an I2C bus that is held low, a
firmware mailbox without an answer. Such a read cannot be called off. It can be left behind:
its thread stays with it until it returns, and another thread goes on with the rest.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from math import isinf
from queue import SimpleQueue
from threading import Event, Lock, Thread
from time import monotonic

#: How long one sensor may take before the others go on without it, in seconds. A slow I2C
#: device answers within a few milliseconds.
DEADLINE_S = 0.2

#: Reads one sensor; never raises.
Job = Callable[[], None]


class Crew:
    """Runs jobs one after the other in one thread, and in another those behind a job that hangs."""

    def __init__(self, deadline_s: float = DEADLINE_S) -> None:
        """Start without a thread.

        Args:
            deadline_s: How long a job is waited for, in seconds; infinite where none can hang, which
                needs no thread.
        """
        self.deadline_s = deadline_s
        self._rounds: SimpleQueue[_Round | None] | None = None

    def run(self, jobs: Sequence[Job]) -> list[Job]:
        """Run all jobs, waiting for each no longer than the deadline.

        Returns:
            Those that were not done in time; they go on, and end when they end.
        """
        if isinf(self.deadline_s):
            for job in jobs:
                job()
            return []
        late: list[Job] = []
        waiting = list(jobs)
        while waiting:
            current = _Round(waiting)
            self._hand_over(current)
            hanging = current.wait(self.deadline_s)
            if hanging is None:
                break
            late.append(waiting[hanging])
            waiting = waiting[hanging + 1 :]
            # The thread ends with the job that hangs; the next round starts another.
            self._rounds = None
        return late

    @staticmethod
    def detach(job: Job) -> None:
        """Run a job in a thread of its own that nobody waits for."""
        Thread(target=job, name="sensor", daemon=True).start()

    def _hand_over(self, current: _Round) -> None:
        if self._rounds is None:
            self._rounds = SimpleQueue()
            Thread(target=_work, args=(self._rounds,), name="sensors", daemon=True).start()
            weakref.finalize(self, self._rounds.put, None)
        self._rounds.put(current)


class _Round:
    """Jobs for one thread, and how far it has come."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._jobs = jobs
        self._lock = Lock()
        self._at = 0
        self._began_s = monotonic()
        self._left = False
        self._done = Event()

    def work(self) -> bool:
        """In the thread: run the jobs. Returns whether the thread is still wanted."""
        for index, job in enumerate(self._jobs):
            with self._lock:
                # The job that the caller gave up on is this thread's, even if it had not come to begin it.
                if self._left and index > self._at:
                    return False
                self._at, self._began_s = index, monotonic()
            job()
        with self._lock:
            self._done.set()
            return not self._left

    def wait(self, deadline_s: float) -> int | None:
        """In the caller: wait for the end. Returns the job that hangs, or None if all are done."""
        while True:
            with self._lock:
                if self._done.is_set():
                    return None
                left_s = self._began_s + deadline_s - monotonic()
                if left_s <= 0:
                    self._left = True
                    return self._at
            self._done.wait(left_s)


def _work(rounds: SimpleQueue[_Round | None]) -> None:
    while (current := rounds.get()) is not None:
        if not current.work():
            return
