"""Mixed good and bad traffic with swaps for minutes: errors by kind, growth of memory, descriptors left behind."""

from __future__ import annotations

import argparse
import time

import numpy as np
import numpy.typing as npt
import psutil

from benchmarks.harness import daemon, finish, free_ports, har
from benchmarks.traffic import Traffic

#: Memory is looked at so often, in seconds. The slope is that of the second half: in the first, caches fill, and the
#: heap of the C library grows to the most that was needed at once, which it goes on to do ever more slowly.
LOOK_S = 0.5
SWAP_EVERY_S = 0.2
#: Behind the traffic, until the connections that stood half open are closed as well, in seconds.
SETTLE_S = 5.0


def main() -> None:
    """Soak a daemon that serves HAR over ipc and HTTP."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    options = parser.parse_args()
    bundle = har()
    names = [bundle.space.format(genome) for genome in bundle.space.random(np.random.default_rng(3), 200)]
    address = f"127.0.0.1:{free_ports(1)}"
    config = {"serve": {"http": address}, "policy": {"trigger": {"period_s": 3600.0}}}
    with daemon(config) as started, started.control() as control:
        process = psutil.Process(started.process.pid)
        traffic = Traffic(started, address)
        descriptors = process.num_fds()
        began_s = time.monotonic()
        looks: list[tuple[float, float]] = []
        swaps = 0
        traffic.begin()
        try:
            while (elapsed_s := time.monotonic() - began_s) < 60 * options.minutes:
                if not looks or elapsed_s - looks[-1][0] >= LOOK_S:
                    looks.append((elapsed_s, process.memory_info().rss / 2**20))
                control.call("pin", subnet=names[swaps % len(names)])
                swaps += 1
                time.sleep(SWAP_EVERY_S)
        finally:
            traffic.end()
        with started.client(timeout_s=10.0) as client:
            rejected = {reason: count for reason, count in client.stats().rejected.items() if count}
        time.sleep(SETTLE_S)
        memory = np.array(looks)
        finish(
            {
                "minutes": options.minutes,
                "requests": traffic.requests.total(),
                "errors": dict(traffic.errors),
                "rss_slope_mib_per_hour": slope_mib_per_hour(memory[len(memory) // 2 :]),
                "descriptors_start": descriptors,
                "descriptors_end": process.num_fds(),
                "swaps": swaps,
                "requests_by_kind": dict(traffic.requests),
                "bad": dict(traffic.bad),
                "rejected": rejected,
                "rss_mib_by_tenth": [round(float(part[:, 1].mean()), 2) for part in np.array_split(memory, 10)],
            }
        )


def slope_mib_per_hour(looks: npt.NDArray[np.float64]) -> float:
    """Growth of memory, by least squares.

    Args:
        looks: Seconds and MiB, shape ``(n, 2)``.
    """
    return round(float(np.polyfit(looks[:, 0], looks[:, 1], 1)[0]) * 3600, 2)


if __name__ == "__main__":
    main()
