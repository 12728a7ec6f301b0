"""Predictions on a machine that is made slower for real: how wrong they get, and how soon they are right again."""

from __future__ import annotations

import os
import tempfile
import time
from functools import cache
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from adaspring.app.locate import find_board, find_tables
from adaspring.app.status import Status
from adaspring.cli.process import DaemonProcess
from adaspring.client import Client
from adaspring.engine import make_engine
from adaspring.simulate import LiveTree, SimulatedDevice, load_scenario
from adaspring.space import analytic_tables
from adaspring.tables import LatencyCorrection, SlotTable, build_atlas
from benchmarks.burner import Burner, pin_to_core
from benchmarks.harness import CONSOLE, board, bundle, daemon, finish, frames_of, shipped, state

Array = npt.NDArray[np.float64]
Frame = npt.NDArray[np.float32]

#: The bundle whose frames take longest: on a quick core those of a smaller one slip through while the burner sleeps.
BUNDLE = shipped()[-1]
#: Subnets of the atlas that are held, from the quickest to the slowest of its upper half: what
#: takes less time than the burner sleeps would notice nothing.
SUBNETS = 8
#: Frames of each: before, and slowed. A prediction is held against the 50 frames that follow it, which it has not seen.
FRAMES = 200
WINDOW = 50
LOW_PERCENTILE = 20.0
#: A prediction so near to what follows has recovered; told of the subnet that takes longest.
RECOVERED = 0.2
#: Time in which the daemon may leave a subnet that has become too slow, in seconds.
SETTLE_S = 30.0
TRIGGER = {"min_dwell_s": 0.2, "period_s": 1.0}


def main() -> None:
    """Hold subnets on the daemon's core before and under the burner, then let it choose under a budget."""
    served, core = bundle(BUNDLE), max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, os.sched_getaffinity(0) - {core} or {core})
    engine = make_engine("onnxruntime", served)
    tables = find_tables(served, find_board(board(), Path("/")), engine, state(BUNDLE))
    atlas = build_atlas(
        served.space,
        served.accuracy.percent,
        tables.latency_us,
        tables.energy_mj,
        SlotTable.of_parameters(served.space, analytic_tables(served.space)),
    )
    slower_half = np.argsort(atlas.latency_us)[len(atlas) // 2 :]
    chosen = atlas.genomes[slower_half[np.linspace(0, len(slower_half) - 1, SUBNETS).astype(int)]]
    names = [served.space.format(genome) for genome in chosen]
    predicted_us = tables.latency_us.evaluate(served.space, chosen)
    with tempfile.TemporaryDirectory(prefix="adaspring-board-") as folder:
        LiveTree(Path(folder)).write(SimulatedDevice(load_scenario()).state())
        with daemon({"monitor": {"interval_s": 0.05}}, Path(folder), BUNDLE) as started, started.client() as client:
            pin_to_core(started.process.pid, core)
            quick = [_held(started, client, name) for name in names]
            with Burner(core):
                slow = [_held(started, client, name) for name in names]
        figures = _errors(predicted_us, quick, slow)
        budget_us = float(np.sqrt(np.percentile(quick[-1], 95) * np.percentile(slow[-1], 95)))
        met_before, met = _adapted(Path(folder), core, names[-1], budget_us)
    finish({**figures, "budget_met_before_percent": met_before, "budget_met_percent": met, "subnets": SUBNETS})


def _errors(predicted_us: Array, quick: list[Array], slow: list[Array]) -> dict[str, float]:
    before, after, repeat, frames = [], [], [], []
    for predicted, calm, loaded in zip(predicted_us.tolist(), quick, slow, strict=True):
        correction = LatencyCorrection()
        correction.observe(predicted, calm)
        old = predicted * correction.factor()
        low = float(np.percentile(loaded, LOW_PERCENTILE))
        before.append(abs(old - low) / low)
        recovered = len(loaded)
        for count, frame in enumerate(loaded.tolist(), start=1):
            correction.observe(predicted, frame)
            following = loaded[count : count + WINDOW]
            if len(following) < WINDOW:
                break
            low = float(np.percentile(following, LOW_PERCENTILE))
            error = abs(predicted * correction.factor() - low) / low
            if error <= RECOVERED:
                recovered = min(recovered, count)
            if count >= WINDOW:
                after.append(error)
        frames.append(recovered)
        halves = [float(np.percentile(part, LOW_PERCENTILE)) for part in np.split(loaded[-2 * WINDOW :], 2)]
        repeat.append(abs(halves[1] - halves[0]) / halves[0])
    slowdown = [
        np.percentile(loaded, LOW_PERCENTILE) / np.percentile(calm, LOW_PERCENTILE)
        for calm, loaded in zip(quick, slow, strict=True)
    ]
    return {
        "slowdown_factor": round(float(np.median(slowdown)), 2),
        "mape_before_percent": round(100 * float(np.mean(before)), 1),
        "mape_after_percent": round(100 * float(np.mean(after)), 1),
        "repeat_mape_percent": round(100 * float(np.mean(repeat)), 1),
        "frames_to_recover": max(frames),
    }


def _held(started: DaemonProcess, client: Client, subnet: str) -> Array:
    with started.control() as control:
        control.call("pin", subnet=subnet)
    return _stream(client, FRAMES, subnet)


@cache
def _window() -> Frame:
    frame: Frame = frames_of(BUNDLE, 1)[0]
    return frame


def _stream(client: Client, frames: int, subnet: str | None = None) -> Array:
    """Compute of so many frames, those of one subnet where it is named, in microseconds."""
    window = _window()
    times: list[float] = []
    while len(times) < frames:
        result = client.infer(window)
        if subnet is None or result.subnet == subnet:
            times.append(result.compute_us)
    return np.array(times)


def _adapted(sysroot: Path, core: int, subnet: str, budget_us: float) -> tuple[float, float]:
    """Share of frames within a budget under the burner: of the subnet that fitted before, and once the daemon chose."""
    policy = {
        "latency_p95_ms": budget_us / 1e3,
        "max_utilisation": 0.95,
        "max_accuracy_loss_points": 50.0,
        "emergency_accuracy_loss_points": 50.0,
        "trigger": TRIGGER,
    }
    config = {"monitor": {"interval_s": 0.05}, "policy": policy}
    with (
        daemon(config, sysroot, BUNDLE) as started,
        started.client() as client,
        started.control() as control,
        Burner(core),
    ):
        pin_to_core(started.process.pid, core)
        control.call("pin", subnet=subnet)
        held = _stream(client, FRAMES, subnet)
        control.call("unpin")
        until_s = time.monotonic() + SETTLE_S
        while time.monotonic() < until_s:
            chosen = _stream(client, FRAMES)
            if np.mean(chosen <= budget_us) >= 0.95:
                break
        status = msgspec.convert(control.call("status"), Status)
        CONSOLE.print(f"budget {budget_us:.0f} us: {subnet} -> {status.subnet}, factor {status.latency_correction:.2f}")
    return tuple(round(100 * float(np.mean(times <= budget_us)), 1) for times in (held, chosen))  # type: ignore[return-value]


if __name__ == "__main__":
    main()
