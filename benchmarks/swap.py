"""10,000 swaps under continuous load: frames lost, doubled or mislabelled, latency while swapping, growth of memory."""

from __future__ import annotations

import argparse
import time
from contextlib import closing
from dataclasses import dataclass
from typing import TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt
import psutil
import zmq

from adaspring.app.evolution import Evolution
from adaspring.bundle import Bundle
from adaspring.cli.process import DaemonProcess
from adaspring.engine import make_engine
from adaspring.serve.protocol import decode_control_reply, encode_control_call
from adaspring.space import Genome
from benchmarks.harness import bundle, daemon, finish, frames_of, har_and_largest, percentile
from benchmarks.load import Frames, load

SWAPS = 10_000
#: Memory is looked at so often; the first tenth of the swaps fills caches and is left out of the slope.
LOOK_EVERY = 25
#: Largest difference of a logit between the daemon's engine and the one that checks it.
TOLERANCE = 1e-4
#: Consecutive subnets differ by at least so many tolerances on every window.
APART = 10
#: Frames behind a flip that count as under its influence.
AFTER = 10
#: Subnets among which the daemon is swapped.
SUBNETS = 12
LOAD = 0.7
#: How long each subnet answers by itself, and how much of that is left out at its beginning, in seconds.
ALONE_S, SETTLE_S = 0.6, 0.1
#: Between two swaps, in seconds.
PAUSE_S = 0.012

Span: TypeAlias = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Swap:
    """One swap: when it was asked for, when that was answered, and the generation that it began."""

    trigger_s: float
    done_s: float
    generation: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """Swaps, what happened to every frame meanwhile, and the daemon's memory.

    Attributes:
        swaps: In their order.
        frames: Sent while they were made.
        steady: Sent before, while each of the subnets answered for a while by itself.
        settled: Which of those count: none is under the influence of a swap.
        idle_s: Moments of that time at which a swap might have been asked for, and nothing was.
        rss_mib: Memory of the daemon, looked at now and then.
    """

    swaps: list[Swap]
    frames: Frames
    steady: Frames
    settled: npt.NDArray[np.bool_]
    idle_s: list[float]
    rss_mib: list[float]


class Operator:
    """Pins subnets over one connection: one for each call would take the cores from the frames."""

    def __init__(self, started: DaemonProcess, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        """Connect to the control socket."""
        self._socket = context.socket(zmq.REQ)
        self._socket.rcvtimeo = 20_000
        self._socket.linger = 0
        self._socket.connect(f"ipc://{started.folder}/run/control.sock")

    def pin(self, subnet: str) -> Evolution:
        """Swap to a subnet."""
        self._socket.send(encode_control_call("pin", {"subnet": subnet}))
        reply = decode_control_reply(self._socket.recv())
        if not reply.ok:
            raise SystemExit(reply.error)
        return msgspec.convert(reply.result, Evolution)

    def pin_each(self, names: list[str]) -> tuple[list[Span], list[float]]:
        """Let each subnet answer for a while; when it did, on the monotonic clock, and moments of that."""
        spans, idle_s = [], []
        for name in names:
            self.pin(name)
            time.sleep(SETTLE_S)
            began_s = time.monotonic()
            while time.monotonic() < began_s + ALONE_S - SETTLE_S:
                # Slept and woke as between swaps, so that this process takes the same share of the cores.
                time.sleep(PAUSE_S)
                idle_s.append(time.monotonic())
            spans.append((began_s, time.monotonic()))
        return spans, idle_s

    def close(self) -> None:
        """Disconnect."""
        self._socket.close()


def main() -> None:
    """Swap at 70 % of saturation, then at it, to subnets made anew and to kept ones: HAR and the largest bundle."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--swaps",
        type=int,
        default=SWAPS,
        help="of each bundle, half of them at saturation, and as many to subnets that are kept",
    )
    options = parser.parse_args()
    finish({"bundles": {name: _measure(name, options.swaps // 2) for name in har_and_largest()}})


def _measure(name: str, swaps_each: int) -> dict[str, float]:
    served = bundle(name)
    genomes, expected = _distinct_subnets(served, frames_of(name))
    names = [served.space.format(genome) for genome in genomes]
    rate_hz, paced, saturated = _swapped(name, names, swaps_each, {"cache_mib": 0})
    # The same with prepared subnets kept, as the daemon does unless told otherwise.
    _, kept, kept_saturated = _swapped(name, names, swaps_each, {}, rate_hz)
    outcomes = {"": paced, "_at_saturation": saturated, "_kept": kept, "_kept_at_saturation": kept_saturated}
    figures: dict[str, float] = {
        "swaps": sum(len(outcome.swaps) for outcome in outcomes.values()),
        "load_hz": round(rate_hz),
    }
    checks = [_check(outcome, dict(zip(names, expected, strict=True))) for outcome in outcomes.values()]
    figures |= {check: sum(each[check] for each in checks) for check in checks[0]}
    for suffix, outcome in outcomes.items():
        figures |= _latencies(outcome, suffix)
    return figures | _growth([*paced.rss_mib, *saturated.rss_mib])


def _swapped(
    name: str, names: list[str], swaps_each: int, engine: dict[str, float], rate_hz: float | None = None
) -> tuple[float, Outcome, Outcome]:
    """Frames a second that were sent first, and what swaps then came to, and at saturation."""
    config = {"engine": engine, "policy": {"trigger": {"period_s": 3600.0}}}
    with (
        daemon(config, name=name) as started,
        zmq.Context() as context,
        closing(Operator(started, context)) as operator,
    ):
        # A load that the slowest of them can bear: they take turns, and what waits for one is answered by the next.
        rate_hz = rate_hz or LOAD * _saturation_hz(started, operator, names)
        paced = _swap(started, operator, names, rate_hz, swaps_each)
        return rate_hz, paced, _swap(started, operator, names, None, swaps_each)


def _growth(rss_mib: list[float]) -> dict[str, float]:
    settled = rss_mib[len(rss_mib) // 10 :]
    slope = np.polyfit(np.arange(len(settled)) * LOOK_EVERY, settled, 1)[0] if len(settled) > 1 else np.nan
    return {
        "rss_first_mib": round(settled[0], 2),
        "rss_last_mib": round(settled[-1], 2),
        "rss_slope_mib_per_1000_swaps": round(float(slope) * 1000, 4),
    }


def _distinct_subnets(bundle: Bundle, x: npt.NDArray[np.float32]) -> tuple[list[Genome], list[npt.NDArray[np.float32]]]:
    """Random subnets, any two of which differ clearly on every sample window, and their logits."""
    engine = make_engine("onnxruntime", bundle)
    genomes: list[Genome] = []
    logits: list[npt.NDArray[np.float32]] = []
    for genome in bundle.space.random(np.random.default_rng(7), 400):
        subnet = engine.prepare(genome).subnet
        own = np.concatenate([subnet.run(window[None]) for window in x])
        if all(np.abs(own - other).max(axis=1).min() > APART * TOLERANCE for other in logits):
            genomes.append(genome)
            logits.append(own)
        if len(genomes) == SUBNETS:
            return genomes, logits
    raise SystemExit(f"only {len(genomes)} of {SUBNETS} subnets differ by {APART} tolerances on every window")


def _saturation_hz(started: DaemonProcess, operator: Operator, names: list[str]) -> float:
    """Frames a second that the slowest subnet answers at most."""
    with load(started.endpoint, rate_hz=None) as frames:
        spans, _ = operator.pin_each(names)
    answered_s = np.sort(frames[0].answered_s)
    return float(min(np.diff(np.searchsorted(answered_s, span))[0] / (span[1] - span[0]) for span in spans))


def _swap(started: DaemonProcess, operator: Operator, names: list[str], rate_hz: float | None, wanted: int) -> Outcome:
    rng = np.random.default_rng(11)
    with load(started.endpoint, rate_hz=rate_hz) as steady:
        spans, idle_s = operator.pin_each(names)
    settled = np.zeros(len(steady[0].sent_s), dtype=bool)
    for began_s, ended_s in spans:
        settled |= (steady[0].sent_s >= began_s) & (steady[0].answered_s <= ended_s)
    swaps: list[Swap] = []
    process, rss_mib = psutil.Process(started.process.pid), []
    with load(started.endpoint, rate_hz=rate_hz) as frames:
        last = -1
        while len(swaps) < wanted:
            choice = int(rng.integers(len(names) - 1))
            last = choice + (choice >= last) if last >= 0 else choice
            trigger_s = time.monotonic()
            evolution = operator.pin(names[last])
            if evolution.swapped:
                swaps.append(Swap(trigger_s, time.monotonic(), evolution.generation))
                if len(swaps) % LOOK_EVERY == 0:
                    rss_mib.append(process.memory_info().rss / 2**20)
            time.sleep(PAUSE_S)
    return Outcome(swaps, frames[0], steady[0], settled, idle_s, rss_mib)


def _check(outcome: Outcome, expected: dict[str, npt.NDArray[np.float32]]) -> dict[str, int]:
    """Hold every reply against the subnet that it names, and every generation against its swap."""
    mismatched = 0
    for frames in (outcome.steady, outcome.frames):
        for index, name in enumerate(frames.names):
            if name not in expected:
                continue  # the subnet that the daemon chose before the first pin
            rows = np.flatnonzero((frames.subnet == index) & (frames.replies > 0))
            truth = expected[name][rows % len(expected[name])]
            mismatched += int((np.abs(frames.logits[rows] - truth).max(axis=1) > TOLERANCE).sum())
    both = np.concatenate([outcome.steady.replies, outcome.frames.replies])
    return {
        "frames": len(both),
        "lost": int((both == 0).sum()),
        "duplicated": int((both > 1).sum()),
        "mismatched": mismatched,
    }


def _latencies(outcome: Outcome, suffix: str) -> dict[str, float | int]:
    frames, steady = outcome.frames, outcome.steady
    generation = frames.generation[np.argsort(frames.answered_s)]
    spans, answered_s = [], np.sort(frames.answered_s)
    for swap in outcome.swaps:
        after = np.flatnonzero(generation >= swap.generation)[:AFTER]
        if len(after):
            spans.append((swap.trigger_s, float(answered_s[after[-1]])))
    # A slow frame is likelier than a quick one to fall into any span of time: as long a time without a swap tells.
    length_s = float(np.median([swap.done_s - swap.trigger_s for swap in outcome.swaps]))
    answered_s = np.sort(steady.answered_s[np.isfinite(steady.answered_s)])
    idle = []
    for began_s in outcome.idle_s:
        last = int(np.searchsorted(answered_s, began_s + length_s)) + AFTER - 1
        idle.append((began_s, float(answered_s[min(last, len(answered_s) - 1)])))
    swapping = _within(frames, spans)
    steady_ms, idle_ms, swap_ms = (
        percentile(((which.answered_s - which.sent_s) * 1e3)[rows & (which.replies > 0)], 99)
        for which, rows in (
            (steady, outcome.settled),
            (steady, outcome.settled & _within(steady, idle)),
            (frames, swapping),
        )
    )
    return {
        f"steady_p99_ms{suffix}": steady_ms,
        f"idle_p99_ms{suffix}": idle_ms,
        f"swap_p99_ms{suffix}": swap_ms,
        f"swap_over_steady{suffix}": round(swap_ms / steady_ms, 3),
        f"swap_over_idle{suffix}": round(swap_ms / idle_ms, 3),
        f"frames_while_swapping{suffix}": int(swapping.sum()),
    }


def _within(frames: Frames, spans: list[Span]) -> npt.NDArray[np.bool_]:
    """Which frames were under way in any of the spans."""
    within = np.zeros(len(frames.sent_s), dtype=bool)
    for began_s, ended_s in spans:
        within |= (frames.answered_s >= began_s) & (frames.sent_s <= ended_s)
    return within


if __name__ == "__main__":
    main()
