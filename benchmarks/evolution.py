"""Cold evolutions in the running daemon under load: from the context that the trigger sees to the flip."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from adaspring.app.evolution import Evolution
from adaspring.cli.process import DaemonProcess
from adaspring.client import EventSubscriber
from adaspring.simulate import DayState, LiveTree, SimulatedDevice, load_scenario
from benchmarks.harness import daemon, finish, percentile
from benchmarks.load import load

COLD = 400
WARM = 100
#: Share of the rate that the daemon can just answer.
LOAD = 0.7
#: Contexts between which the device jumps. Each asks for another trade between accuracy and
#: energy, so that nearly every jump ends in another subnet.
CONTEXTS = tuple(
    {"battery_percent": battery, "temperature_c": temperature, "plugged": plugged}
    for battery, temperature, plugged in (
        (95.0, 45.0, False),
        (18.0, 45.0, False),
        (70.0, 74.0, False),
        (40.0, 45.0, False),
        (60.0, 45.0, True),
        (30.0, 77.0, False),
        (55.0, 45.0, False),
        (10.0, 72.0, False),
    )
)
MONITOR = {"interval_s": 0.02}
TRIGGER = {"min_dwell_s": 0.02, "period_s": 3600.0, "recovery_s": 0.02}


@dataclass(slots=True)
class Device:
    """A board whose context jumps."""

    tree: LiveTree
    state: DayState
    jumps: int = 0

    def jump(self) -> None:
        """Go to the next context."""
        change: dict[str, Any] = CONTEXTS[self.jumps % len(CONTEXTS)]
        self.tree.write(msgspec.structs.replace(self.state, throttled=False, **change))
        self.jumps += 1


def main() -> None:
    """Collect cold evolutions with no cache, then cached ones."""
    with tempfile.TemporaryDirectory(prefix="adaspring-board-") as folder:
        tree = LiveTree(Path(folder))
        device = Device(tree, SimulatedDevice(load_scenario()).state())
        device.jump()
        cold, rate_hz = _collect(device, Path(folder), cache_subnets=0, wanted=COLD, hits=False)
        cached, _ = _collect(device, Path(folder), cache_subnets=64, wanted=WARM, hits=True)
    total = [evolution.total_us / 1e3 for evolution in cold]
    finish(
        {
            "n": len(cold),
            "search_p50_ms": percentile([evolution.search_us / 1e3 for evolution in cold], 50),
            "search_p99_ms": percentile([evolution.search_us / 1e3 for evolution in cold], 99),
            "assemble_p99_ms": percentile([evolution.assemble_us / 1e3 for evolution in cold], 99),
            "load_p99_ms": percentile([evolution.load_us / 1e3 for evolution in cold], 99),
            "warm_p99_ms": percentile([evolution.warm_us / 1e3 for evolution in cold], 99),
            "total_p50_ms": percentile(total, 50),
            "total_p99_ms": percentile(total, 99),
            "total_max_ms": percentile(total, 100),
            "cache_hit_total_p99_ms": percentile([evolution.total_us / 1e3 for evolution in cached], 99),
            "cache_hits": len(cached),
            "subnets": len({evolution.subnet for evolution in cold}),
            "load_hz": round(rate_hz),
        }
    )


def _collect(
    device: Device, sysroot: Path, *, cache_subnets: int, wanted: int, hits: bool
) -> tuple[list[Evolution], float]:
    config = {"engine": {"cache_subnets": cache_subnets}, "monitor": MONITOR, "policy": {"trigger": TRIGGER}}
    with daemon(config, sysroot) as started, started.events() as events:
        rate_hz = LOAD * _saturation_hz(started)
        found: list[Evolution] = []
        with load(started.endpoint, rate_hz=rate_hz):
            deadline_s = time.monotonic() + 180
            while len(found) < wanted and time.monotonic() < deadline_s:
                device.jump()
                found += [evolution for evolution in _evolutions(events) if evolution.cache_hit is hits]
        return found, rate_hz


def _saturation_hz(started: DaemonProcess) -> float:
    with load(started.endpoint, rate_hz=None) as frames:
        time.sleep(3.0)
    sent_s = frames[0].sent_s
    return len(sent_s) / float(sent_s[-1] - sent_s[0])


def _evolutions(events: EventSubscriber, settle_s: float = 0.12) -> list[Evolution]:
    """Swaps in the time that the trigger takes to see a jump."""
    found = []
    until_s = time.monotonic() + settle_s
    while (left_s := until_s - time.monotonic()) > 0:
        event = events.receive(left_s)
        if event is not None and event.topic == "evolution":
            evolution = msgspec.convert(event.data, Evolution)
            found += [evolution] if evolution.swapped else []
    return found


if __name__ == "__main__":
    main()
