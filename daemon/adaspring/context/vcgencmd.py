"""Asking the firmware of a Raspberry Pi through its own program, where sysfs does not tell.

``vcgencmd`` is a process for each question, so it is asked seldom. In a tree that stands for
another board nothing is run: its answers lie in the folder ``run/vcgencmd``, one file for each
question.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Protocol

from adaspring.context.sysroot import Sysroot
from adaspring.errors import SensorError

#: Raspberry Pi OS and Ubuntu keep it there.
PROGRAM = Path("/usr/bin/vcgencmd")
ANSWERS = "/run/vcgencmd"
#: Least time between two questions of one kind, in seconds.
INTERVAL_S = 5.0
#: It answers within milliseconds; a firmware that hangs must not keep processes piling up.
_TIMEOUT_S = 2.0


class Firmware(Protocol):
    """Answers questions to the firmware."""

    def ask(self, question: str) -> str:
        """The answer to a question such as ``"get_throttled"``.

        Raises:
            SensorError: If there is none.
        """


class LiveFirmware:
    """The firmware of this board."""

    def __init__(self, program: Path = PROGRAM) -> None:
        """Take the program."""
        self._program = program

    def ask(self, question: str) -> str:
        """See `Firmware.ask`."""
        try:
            done = subprocess.run(
                [self._program, question],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_TIMEOUT_S,
                check=False,
                text=True,
                errors="replace",
            )
        except FileNotFoundError:
            raise SensorError(f"{self._program} is not there (it ships with Raspberry Pi OS)") from None
        except subprocess.TimeoutExpired:
            raise SensorError(f"{self._program} {question} has not answered for {_TIMEOUT_S:g} s") from None
        except OSError as error:
            raise SensorError(f"{self._program} cannot be run: {error.strerror}") from error
        if done.returncode or not done.stdout.strip():
            told = (done.stderr or done.stdout).strip()[:80] or f"status {done.returncode}"
            hint = "; is this user in the group video?" if "vcio" in told or "VCHI" in told else ""
            raise SensorError(f"{self._program} {question} failed: {told}{hint}")
        return done.stdout


class RecordedFirmware:
    """Answers that lie in a tree."""

    def __init__(self, sysroot: Sysroot) -> None:
        """Take the tree."""
        self._sysroot = sysroot

    def ask(self, question: str) -> str:
        """See `Firmware.ask`."""
        return self._sysroot.text(f"{ANSWERS}/{question}")


def firmware(sysroot: Sysroot, *, live: bool) -> Firmware:
    """The firmware of this board, or the recorded one of a tree that stands for another."""
    return LiveFirmware() if live else RecordedFirmware(sysroot)
