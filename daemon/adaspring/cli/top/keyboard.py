"""Keys as they are pressed, without a return after them."""

from __future__ import annotations

import os
import select
import sys
import termios
import time
import tty
from types import TracebackType


class Keyboard:
    """Standard input, character by character while this is entered; without a terminal there are no keys."""

    def __init__(self) -> None:
        """Change nothing yet."""
        self._terminal = sys.stdin.fileno() if sys.stdin.isatty() else None
        self._before: list[int | list[bytes | int]] = []

    def __enter__(self) -> Keyboard:  # noqa: PYI034 - typing.Self came with Python 3.11
        """Take single characters; control-C still interrupts."""
        if self._terminal is not None:
            self._before = termios.tcgetattr(self._terminal)
            tty.setcbreak(self._terminal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the terminal as it was."""
        if self._terminal is not None:
            termios.tcsetattr(self._terminal, termios.TCSADRAIN, self._before)

    def pressed(self, within_s: float) -> str:
        """Whatever was pressed; waits at most so long, in seconds, and tells nothing then."""
        if self._terminal is None:
            time.sleep(within_s)
            return ""
        ready, _, _ = select.select([self._terminal], [], [], within_s)
        return os.read(self._terminal, 64).decode(errors="replace") if ready else ""
