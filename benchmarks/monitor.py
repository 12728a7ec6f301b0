"""Cost of one look at every sensor, on the tree of a Jetson with all of its rails, zones and counters.

A tick changes threads twice. Where others compute on every core, its time is mostly the wait for a
core; ``tick_cpu_p99_us`` leaves that out.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from adaspring.app.daemon import SWITCH_INTERVAL_S
from adaspring.context import Monitor
from adaspring.simulate import LiveTree, SimulatedDevice, load_board_tree, load_scenario
from benchmarks.harness import finish, percentile

#: The board with the most sensors.
BOARD = "jetson-agx-orin"
TICKS = 2000


class NoFrames:
    """There is no daemon here."""

    received = 0
    latency_p95_us: float | None = None
    queue_depth = 0
    deadline_us: float | None = None


def main() -> None:
    """Tick as a daemon does at 1 Hz, with the clock of the monitor turned by a second for each tick."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ticks", type=int, default=TICKS, help="ticks to time (default: %(default)s)")
    options = parser.parse_args()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    now_s = 0.0
    memory = Path("/dev/shm")  # noqa: S108 - a folder of its own there; sysfs lies in memory, too
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        LiveTree(Path(folder), board=load_board_tree(BOARD)).write(SimulatedDevice(load_scenario()).state())
        monitor = Monitor(Path(folder), NoFrames(), clock=lambda: now_s)
        for _ in range(20):
            now_s += 1
            monitor.tick()
        took_us, busy_us = np.empty(options.ticks), np.empty(options.ticks)
        for tick in range(options.ticks):
            now_s += 1
            started_s, busy_s = time.perf_counter(), time.process_time()
            monitor.tick()
            took_us[tick] = (time.perf_counter() - started_s) * 1e6
            busy_us[tick] = (time.process_time() - busy_s) * 1e6
        read = sum(reading.value is not None for reading in monitor.readings.values())
    finish(
        {
            "tick_p50_us": percentile(took_us, 50),
            "tick_p99_us": percentile(took_us, 99),
            "tick_cpu_p99_us": percentile(busy_us, 99),
            "cpu_percent_at_1hz": round(1e-4 * busy_us.mean(), 4),
            "board": BOARD,
            "quantities": read,
            "ticks": options.ticks,
        }
    )


if __name__ == "__main__":
    main()
