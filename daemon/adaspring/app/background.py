"""Profiling in the background: another process, at the lowest priority."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

_log = logging.getLogger(__name__)

#: How long a run that was told to end may take, in seconds: a daemon that stops has two.
STOP_S = 0.5


class BackgroundProfiler:
    """Runs ``adaspring profile`` beside the daemon and tells when it is done.

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
        self._command = [
            sys.executable,
            "-m",
            "adaspring.cli.adaspring",
            "profile",
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
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        """Whether it was started and its end was not seen yet."""
        return self._process is not None

    def start(self) -> None:
        """Begin; what it prints goes nowhere, its exit code tells."""
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def finished(self) -> bool:
        """Whether it ended well since the last call; a failure is logged once."""
        if self._process is None or self._process.poll() is None:
            return False
        code = self._process.returncode
        self._process = None
        if code:
            _log.error("background profiling ended with %d; run 'adaspring profile' to see why", code)
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
