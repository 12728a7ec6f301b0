"""Latency of frames while the control thread searches, assembles, builds, warms and samples, each told apart.

Data plane and control thread share this process and its interpreter's lock as they do in the daemon; the load comes
from a process of its own. Frames in flight during an activity are held against frames in flight during a rest that
lasts as long: an interval meets slow frames more often than fast ones, whatever is done in it.
"""

from __future__ import annotations

import gc
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import zmq

from adaspring.app.config import Config
from adaspring.app.counters import FrameCounters
from adaspring.app.daemon import SWITCH_INTERVAL_S
from adaspring.app.evolution import Evolver
from adaspring.app.locate import find_board, find_tables
from adaspring.app.signature import pipeline_of, signature
from adaspring.bundle import Bundle
from adaspring.context import Monitor
from adaspring.decide import Cause, Planner
from adaspring.engine import Active, SubnetCache, YieldingThread
from adaspring.engine.assemble import Assembler
from adaspring.engine.base import warm
from adaspring.engine.onnx.engine import OnnxEngine
from adaspring.serve.endpoint import DATA_MODE, claim
from adaspring.serve.lane import Lane
from adaspring.serve.server import DataPlane
from benchmarks.harness import finish, har, percentile, state
from benchmarks.load import Frames, load

TIMES = 400
PAUSE_S = 0.008
LOAD = 0.7
CAUSE = Cause("operator", "the benchmark asks")

Activity = Callable[[int], object]
Intervals = npt.NDArray[np.float64]


def main() -> None:
    """Measure each activity beside the same load, and a rest of its length before it."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    bundle = har()
    # As the daemon does; the thread ends with the process.
    engine = OnnxEngine(bundle, beside=YieldingThread())
    activities, evolver = _activities(bundle, engine)
    with tempfile.TemporaryDirectory() as folder, _serving(f"ipc://{folder}/infer.sock", bundle, evolver.active) as at:
        with load(at, rate_hz=None) as frames:
            time.sleep(3.0)
        rate_hz = LOAD * len(frames[0].sent_s) / float(np.ptp(frames[0].sent_s))
        figures = {name: _measure(at, rate_hz, activity) for name, activity in activities.items()}
    finish({"load_hz": round(rate_hz), "times": TIMES, "activities": figures})


def _activities(bundle: Bundle, engine: OnnxEngine) -> tuple[dict[str, Activity], Evolver]:
    board = find_board("auto", Path("/"))
    tables = find_tables(bundle, board, engine, state())
    planner = Planner(bundle.space, bundle.accuracy.percent, tables, Config().policy)
    monitor = Monitor(Path("/"), FrameCounters())
    context = monitor.tick()
    cache = SubnetCache(engine, 0)
    evolver, _ = Evolver.begin(bundle.space, planner, cache, context, seed=0, wall=lambda: "")
    genomes = bundle.space.random(np.random.default_rng(1), TIMES)
    assembler = Assembler(bundle)
    subnet, zeros = engine.prepare(genomes[0]).subnet, np.zeros((1, *bundle.manifest.input.shape), dtype=np.float32)
    return {
        "search": lambda index: planner.choose(context, genomes[index], seed=index),
        "assemble": lambda index: assembler.assemble(genomes[index]),
        "prepare": lambda index: engine.prepare(genomes[index]),
        "warm": lambda _: warm(subnet, zeros),
        "sample_sensors": lambda _: monitor.tick(),
        "swap": lambda index: evolver.pin(genomes[index], CAUSE, 0.0),
        "evolve": lambda _: evolver.evolve(CAUSE, context, time.perf_counter()),
    }, evolver


@contextmanager
def _serving(endpoint: str, bundle: Bundle, active: Active) -> Iterator[str]:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    with claim(endpoint, mode=DATA_MODE) as claimed:
        pipeline = pipeline_of(bundle)
        plane = DataPlane(context, claimed, [Lane(signature(bundle, pipeline), active, pipeline)])
        plane.bind()
        thread = threading.Thread(target=plane.run)
        thread.start()
        # As the daemon does, so that collections weigh the same.
        gc.collect()
        gc.freeze()
        try:
            yield endpoint
        finally:
            plane.stop()
            thread.join()
            context.term()


def _measure(endpoint: str, rate_hz: float, activity: Activity) -> dict[str, float | int]:
    busy, frames = _repeat(endpoint, rate_hz, activity)
    length_s = float(np.median(busy[:, 1] - busy[:, 0]))
    rest, rest_frames = _repeat(endpoint, rate_hz, lambda _: time.sleep(length_s))
    during_ms, steady_ms = _in_flight_ms(frames, busy), _in_flight_ms(rest_frames, rest)
    p99_ms, steady_p99_ms = percentile(during_ms, 99), percentile(steady_ms, 99)
    return {
        "takes_p50_ms": round(length_s * 1e3, 3),
        "frames": len(during_ms),
        "p99_ms": p99_ms,
        "steady_p99_ms": steady_p99_ms,
        "over_steady": round(p99_ms / steady_p99_ms, 3),
    }


def _repeat(endpoint: str, rate_hz: float, activity: Activity) -> tuple[Intervals, Frames]:
    intervals = []
    with load(endpoint, rate_hz=rate_hz) as frames:
        for index in range(TIMES):
            time.sleep(PAUSE_S)
            started_s = time.monotonic()
            activity(index)
            intervals.append((started_s, time.monotonic()))
    return np.array(intervals), frames[0]


def _in_flight_ms(frames: Frames, intervals: Intervals) -> npt.NDArray[np.float64]:
    """Round trips of the frames that overlap an interval."""
    following = np.searchsorted(intervals[:, 1], frames.sent_s)
    begins_s = np.append(intervals[:, 0], np.inf)[following]
    latency_ms: npt.NDArray[np.float64] = (frames.answered_s - frames.sent_s) * 1e3
    return latency_ms[begins_s <= frames.answered_s]


if __name__ == "__main__":
    main()
