"""Two models on one device: time of a decision about both, of the change that follows, and memory of the daemon."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import numpy as np
import psutil

from adaspring.app.evolution import Evolution
from adaspring.app.status import Status
from adaspring.cli.process import DaemonProcess
from adaspring.client import ControlClient
from adaspring.context.model import Context
from adaspring.decide import Member, Planner, Policy, choose_together
from adaspring.engine import make_engine
from adaspring.profile import load_tables, tables_path
from benchmarks.harness import board, bundle, finish, frames_of, percentile, state

MODELS = {"har": 1, "sound": 9}
#: Decisions timed where there is enough for both, and where there is not; changes of the daemon.
DECISIONS, CHANGES = 200, 100
#: Frames a second for each model while subnets change.
RATE_HZ = 50.0
RNG = np.random.default_rng(0)


def main() -> None:
    """Decide in this process, then have a daemon change under load."""
    planners = {name: _planner(name) for name in MODELS}
    enough, short = _contexts(planners)
    figures: dict[str, Any] = {}
    for kind, context in (("enough", enough), ("short", short)):
        times_ms = [_decide_ms(planners, context, contended=kind == "short") for _ in range(DECISIONS)]
        figures |= {f"{kind}_ms_{name}": percentile(times_ms, at) for name, at in (("median", 50), ("p99", 99))}
    finish(figures | _daemon())


def _planner(name: str) -> Planner:
    made = bundle(name)
    tables = load_tables(tables_path(state(name), made.digest, board(), make_engine("auto", made).name), made.space)
    return Planner(made.space, made.accuracy.percent, tables, Policy(), atlas=tables.atlas)


def _contexts(planners: dict[str, Planner]) -> tuple[Context, Context]:
    """One with enough memory for both, and one with nine tenths of what both would take."""
    enough = Context(
        at_s=1.0, external_power=True, temperature_c=40.0, event_rate_hz=RATE_HZ, memory_available_mib=4000.0
    )
    best = [planner.choose(enough, None).genome for planner in planners.values()]
    used = sum(planner.predict(genome).memory_bytes for planner, genome in zip(planners.values(), best, strict=True))
    share = next(iter(planners.values())).policy.memory_share_percent / 100
    return enough, msgspec.structs.replace(enough, memory_available_mib=0.9 * used / 2**20 / share)


def _decide_ms(planners: dict[str, Planner], context: Context, *, contended: bool) -> float:
    members = [Member(name, MODELS[name], planner, context, None) for name, planner in planners.items()]
    began_s = time.perf_counter()
    _, together = choose_together(members, context)
    took_ms = (time.perf_counter() - began_s) * 1e3
    if together.contended is not contended:
        raise SystemExit(f"the decision was {'not ' * contended}contended")
    return took_ms


def _daemon() -> dict[str, Any]:
    """Memory, and changes of both models by an operator, while frames for both are answered."""
    config = {
        "models": [{"bundle": name, "priority": priority} for name, priority in MODELS.items()],
        "device": {"profile": board(), "background_profiling": False},
        "policy": {"trigger": {"min_dwell_s": 3600.0}},
    }
    with DaemonProcess(config, state=state()) as daemon, daemon.control() as control:
        with _streaming(daemon) as answered:
            times_ms = [_change_ms(control, name) for _ in range(CHANGES) for name in MODELS]
        statuses = [msgspec.convert(control.call("status", model=name), Status) for name in MODELS]
        return {
            "change_ms_median": percentile(times_ms, 50),
            "change_ms_p99": percentile(times_ms, 99),
            "frames": sum(answered.values()),
            "lost": sum(each.requests.samples for each in statuses) - sum(answered.values()),
            "rss_mib": round(psutil.Process(daemon.process.pid).memory_info().rss / 2**20, 1),
            "ready_s": round(daemon.ready_s, 3),
        }


def _change_ms(control: ControlClient, name: str) -> float:
    """Have a model change to some subnet; what that took."""
    space = bundle(name).space
    subnet = space.format(space.random(RNG, 1)[0])
    return msgspec.convert(control.call("pin", subnet=subnet, model=name), Evolution).total_us / 1e3


@contextmanager
def _streaming(daemon: DaemonProcess) -> Iterator[dict[str, int]]:
    """Frames for both models at their rates, each answer counted."""
    over, answered = threading.Event(), dict.fromkeys(MODELS, 0)

    def stream(name: str) -> None:
        x = frames_of(name, 1)[0]
        with daemon.client(model=name, timeout_s=5.0, retries=0) as client:
            while not over.wait(1 / RATE_HZ):
                client.infer(x)
                answered[name] += 1

    threads = [threading.Thread(target=stream, args=(name,)) for name in MODELS]
    for thread in threads:
        thread.start()
    try:
        yield answered
    finally:
        over.set()
        for thread in threads:
            thread.join()


if __name__ == "__main__":
    main()
