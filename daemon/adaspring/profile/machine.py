"""One measurement at a time on a machine.

Whoever measures holds the lock exclusively; long computations of ours (training)
ask between two steps and pause while somebody measures.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter


def lock_path() -> Path:
    """The lock that all processes of this user share."""
    return Path(tempfile.gettempdir()) / f"adaspring-measuring-{os.getuid()}.lock"


@contextmanager
def measuring(path: Path | None = None) -> Iterator[None]:
    """Hold the machine for a measurement; waits for another measurement to end."""
    with _opened(path) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield


def pause_while_measured(path: Path | None = None) -> float:
    """Return once nobody measures; returns how long that took, in seconds."""
    started_s = perf_counter()
    with _opened(path) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
    return perf_counter() - started_s


@contextmanager
def _opened(path: Path | None) -> Iterator[int]:
    descriptor = os.open(path or lock_path(), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)  # closing releases the lock
