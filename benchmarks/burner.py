"""A core made slower for real: for the tests and the benchmarks.

A busy process beside another shares the core in slices of milliseconds, so most frames
of a tenth of that never notice it. A burner of real-time priority that wakes every few
dozen microseconds takes its share out of every frame, as a lower clock would.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType

from adaspring.errors import ConfigError

_PROGRAM = """
import os, sys, time
core, busy_s, idle_s = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
os.sched_setaffinity(0, {core})
os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
print("burning", flush=True)
while os.getppid() != 1:
    until = time.perf_counter() + busy_s
    while time.perf_counter() < until:
        pass
    time.sleep(idle_s)
"""


class Burner:
    """Takes part of a core's time, a few dozen microseconds at a time. Use as a context manager."""

    def __init__(self, core: int, *, busy_us: float = 100.0, idle_us: float = 100.0) -> None:
        """Describe the load.

        Args:
            core: Number of the core.
            busy_us: How long it computes at a time, in microseconds.
            idle_us: How long it sleeps in between; the timer adds some dozen microseconds.
        """
        self._command = [sys.executable, "-c", _PROGRAM, str(core), str(busy_us * 1e-6), str(idle_us * 1e-6)]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Burner:  # noqa: PYI034 - typing.Self came with Python 3.11
        """Start it.

        Raises:
            ConfigError: If this user may not run at real-time priority.
        """
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        if self._process.stdout is None or self._process.stdout.readline() != b"burning\n":
            self.__exit__(None, None, None)
            raise ConfigError("a burner needs real-time priority: run as root, or grant CAP_SYS_NICE")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End it."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()


def pin_to_core(pid: int, core: int) -> None:
    """Keep every thread of a process on one core.

    Args:
        pid: The process.
        core: Number of the core.
    """
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), {core})
