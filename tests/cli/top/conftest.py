"""Programs in a terminal that is emulated, so that what a person sees can be read."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pyte
import pytest


class Terminal:
    """A program in a terminal of its own.

    Attributes:
        process: The program.
        raw: All that it wrote.
    """

    def __init__(self, command: list[str], columns: int, lines: int, *, keys: bool) -> None:
        """Start it; without keys it reads nothing from the terminal."""
        self._ours, self._theirs = pty.openpty()
        self._screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self._screen)
        self.raw = b""
        self._attributes = termios.tcgetattr(self._theirs)
        self.resize(columns, lines)
        environment = {**os.environ, "TERM": "xterm-256color", "LANG": "C.UTF-8"}
        for name in ("COLUMNS", "LINES"):
            environment.pop(name, None)
        self.process = subprocess.Popen(
            command,
            stdin=self._theirs if keys else subprocess.DEVNULL,
            stdout=self._theirs,
            stderr=self._theirs,
            env=environment,
            # So that control-C reaches it, as in a shell.
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(1, termios.TIOCSCTTY, 0) and None,  # noqa: PLW1509 - one thread here
        )

    def resize(self, columns: int, lines: int) -> None:
        """Give the terminal another size."""
        fcntl.ioctl(self._theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self._screen.resize(lines, columns)

    def press(self, keys: str) -> None:
        """Press keys."""
        os.write(self._ours, keys.encode())

    def until(self, seen: Callable[[list[str]], bool], within_s: float = 30.0) -> list[str]:
        """The lines of the screen once something is seen on it."""
        until_s = time.monotonic() + within_s
        while not seen(list(self._screen.display)):
            assert time.monotonic() < until_s, "\n".join(self._screen.display)
            self._read(0.1)
        return list(self._screen.display)

    def ended(self) -> int:
        """Its exit status, once it has ended."""
        while self.process.poll() is None:
            self._read(0.1)
        while self._read(0.0):
            pass
        return self.process.returncode

    @property
    def as_before(self) -> bool:
        """Whether the terminal reads lines and shows what is typed as before the program."""
        return termios.tcgetattr(self._theirs) == self._attributes

    def close(self) -> None:
        """End all."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._ours)
        os.close(self._theirs)

    def _read(self, within_s: float) -> bool:
        ready, _, _ = select.select([self._ours], [], [], within_s)
        if ready:
            chunk = os.read(self._ours, 65536)
            self.raw += chunk
            self._stream.feed(chunk)
        return bool(ready)


@pytest.fixture
def open_terminal() -> Iterator[Callable[..., Terminal]]:
    """Opens terminals of 80 columns and 24 lines, or others, and closes them after the test."""
    with ExitStack() as terminals:

        def start(command: list[str], columns: int = 80, lines: int = 24, *, keys: bool = True) -> Terminal:
            terminal = Terminal(command, columns, lines, keys=keys)
            terminals.callback(terminal.close)
            return terminal

        yield start
