"""Profiling and rebuilding in the background: another process, at the lowest priority."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import Literal, TypeAlias, get_args

_log = logging.getLogger(__name__)

#: What to run: measure tables, or correct them by what was served and build their atlas anew.
Job: TypeAlias = Literal["profile", "atlas"]

#: How long a run that was told to end may take, in seconds: a daemon that stops has two.
STOP_S = 0.5


class BackgroundProfiler:
    """Runs ``adaspring profile`` or ``adaspring atlas`` beside the daemon and tells when it is done.

    A process of its own keeps the interpreter's lock free for frames, and what it
    leaves behind is a file: a daemon that dies meanwhile loses nothing.
    """

    def __init__(self, bundle: Path, state: Path, device: str, engine: str, threads: int) -> None:
        """Describe the run; `start` begins it.

        Args:
            bundle: Folder of the bundle.
            state: State folder, where the tables go.
            device: Name or path of the device profile.
            engine: Engine, as configured.
            threads: Threads of one frame.
        """
        options = [
            "--bundle",
            str(bundle),
            "--state",
            str(state),
            "--device",
            device,
            "--engine",
            engine,
            "--threads",
            str(threads),
            "--background",
        ]
        self._commands: dict[Job, list[str]] = {
            job: [sys.executable, "-m", "adaspring.cli.adaspring", job, *options] for job in get_args(Job)
        }
        self._job: Job = "profile"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        """Whether it was started and its end was not seen yet."""
        return self._process is not None

    def start(self, job: Job = "profile") -> None:
        """Begin; what it prints goes nowhere, its exit code tells."""
        self._job = job
        self._process = subprocess.Popen(
            self._commands[job], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def finished(self) -> bool:
        """Whether it ended well since the last call; a failure is logged once."""
        if self._process is None or self._process.poll() is None:
            return False
        code = self._process.returncode
        self._process = None
        if code:
            _log.error("'adaspring %s' in the background ended with %d; run it to see why", self._job, code)
        return code == 0

    def stop(self) -> None:
        """End it, if it runs; it goes on from its checkpoint next time."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout=STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None
