"""Trees of sensor files, written as the kernel shows them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from adaspring.context.sysroot import Sysroot

#: ``put(path, text)`` writes a file of the tree.
Put = Callable[[str, str], None]
#: ``spoil(path, fault)`` puts a fault, or any other text, in the place of a file.
Spoil = Callable[[Path, str], None]


@dataclass
class Daemon:
    """Counters of a daemon that received nothing, and a clock that a test turns."""

    received: int = 0
    latency_p95_us: float | None = None
    queue_depth: int = 0
    deadline_us: float | None = None
    now_s: float = 1000.0

    def clock(self) -> float:
        """The time that the test has set."""
        return self.now_s


@pytest.fixture
def daemon() -> Daemon:
    """Stands at 1000 s, with nothing received."""
    return Daemon()


@pytest.fixture
def put(tmp_path: Path) -> Put:
    """Writes a file of the tree, with the folders around it."""

    def write(path: str, text: str) -> None:
        target = tmp_path / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")

    return write


@pytest.fixture
def sysroot(tmp_path: Path) -> Sysroot:
    """The tree to read in."""
    return Sysroot(tmp_path)


@pytest.fixture
def spoil() -> Iterator[Spoil]:
    """Puts a fault in the place of a file: vanished, folder, fifo, silent fifo, or any text."""
    writers: list[int] = []

    def put_fault(path: Path, fault: str) -> None:
        path.unlink(missing_ok=True)
        match fault:
            case "vanished":
                pass
            case "folder":
                path.mkdir()
            case "fifo":
                os.mkfifo(path)
            case "silent fifo":
                # With a writer that says nothing a read gives EAGAIN, as from a sensor without a value.
                os.mkfifo(path)
                writers.append(os.open(path, os.O_RDWR | os.O_NONBLOCK))
            case text:
                path.write_bytes(text.encode("latin-1"))

    yield put_fault
    for writer in writers:
        os.close(writer)
