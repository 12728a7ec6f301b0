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
from benchmarks.harness import daemon, finish, har_and_largest, percentile
from benchmarks.load import load

COLD = 400
CACHED = 100
#: Frames a second while the daemon evolves: twice the busiest hour of the demonstration's day.
LOAD_HZ = 400.0
#: The same measured again at so much of what the daemon can just answer, on cores that it
#: shares with the load generator.
NEAR_SATURATION = 0.7
#: For so long, in seconds: with so many frames under way few subnets are quick enough, and few jumps end in another.
NEAR_S = 30.0
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
    """Measure HAR and the largest bundle."""
    finish({"bundles": {name: _measure(name) for name in har_and_largest()}})


def _measure(name: str) -> dict[str, float | None]:
    """Collect cold evolutions with no cache, then cold ones near saturation, then cached ones."""
    with tempfile.TemporaryDirectory(prefix="adaspring-board-") as folder:
        device = Device(LiveTree(Path(folder)), SimulatedDevice(load_scenario()).state())
        device.jump()
        with _daemon(name, Path(folder), cache_mib=0) as started:
            cold = _collect(started, device, LOAD_HZ, COLD, hits=False)
            near_hz = NEAR_SATURATION * _saturation_hz(started)
            near = _collect(started, device, near_hz, COLD, hits=False, within_s=NEAR_S)
        with _daemon(name, Path(folder), cache_mib=64) as started:
            cached = _collect(started, device, LOAD_HZ, CACHED, hits=True)
    total = [evolution.total_us / 1e3 for evolution in cold]
    return {
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
        "frames_hz": LOAD_HZ,
        "near_saturation_hz": round(near_hz),
        "near_saturation_n": len(near),
        "near_saturation_total_p50_ms": _total_ms(near, 50),
        "near_saturation_total_p99_ms": _total_ms(near, 99),
    }


def _daemon(name: str, sysroot: Path, cache_mib: int) -> DaemonProcess:
    config = {"engine": {"cache_mib": cache_mib}, "monitor": MONITOR, "policy": {"trigger": TRIGGER}}
    return daemon(config, sysroot, name)


def _total_ms(evolutions: list[Evolution], percent: float) -> float | None:
    """A percentile of whole evolutions; None where there were none."""
    return percentile([evolution.total_us / 1e3 for evolution in evolutions], percent) if evolutions else None


def _collect(
    started: DaemonProcess, device: Device, rate_hz: float, wanted: int, *, hits: bool, within_s: float = 180.0
) -> list[Evolution]:
    found: list[Evolution] = []
    with started.events() as events, load(started.endpoint, rate_hz=rate_hz):
        deadline_s = time.monotonic() + within_s
        while len(found) < wanted and time.monotonic() < deadline_s:
            device.jump()
            found += [evolution for evolution in _evolutions(events) if evolution.cache_hit is hits]
    return found


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
