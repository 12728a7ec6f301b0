"""Memory, start time and idle load of the daemon with onnxruntime."""

from __future__ import annotations

import re
import time
from pathlib import Path

import psutil

from benchmarks.harness import daemon, finish, windows

#: How long the daemon is watched while nobody asks, in seconds.
IDLE_S = 20.0


def main() -> None:
    """Start, serve a little, then watch an idle daemon."""
    with daemon({}) as started:
        process = psutil.Process(started.process.pid)
        with started.client() as client:
            for window in windows()[:200]:
                client.infer(window)
        time.sleep(1.0)
        before, at_s = process.cpu_times(), time.monotonic()
        slept = wakeups(process.pid)
        time.sleep(IDLE_S)
        after, passed_s = process.cpu_times(), time.monotonic() - at_s
        busy_s = after.user + after.system - before.user - before.system
        finish(
            {
                "rss_mib": round(process.memory_info().rss / 2**20, 1),
                "ready_s": round(started.ready_s, 3),
                "idle_cpu_percent": round(100 * busy_s / passed_s, 2),
                "idle_wakeups_per_s": round((wakeups(process.pid) - slept) / passed_s, 1),
            }
        )


def wakeups(pid: int) -> int:
    """How often a thread of the process went to sleep since it began; each has its own count."""
    text = "".join(path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/status"))
    return sum(map(int, re.findall(r"^voluntary_ctxt_switches:\s*(\d+)", text, re.MULTILINE)))


if __name__ == "__main__":
    main()
