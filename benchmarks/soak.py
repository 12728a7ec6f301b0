"""Mixed good and bad traffic with swaps for minutes: errors by kind, growth of memory, descriptors left behind."""

from __future__ import annotations

import argparse
import threading
import time
from collections import Counter

import numpy as np
import psutil
import zmq

from adaspring.cli.process import DaemonProcess
from adaspring.client import Client
from adaspring.errors import ReplyError
from benchmarks.harness import daemon, finish, har, windows

CLIENTS = 3
#: Memory is looked at so often, in seconds; the first tenth of the time fills caches and is left out of the slope.
LOOK_S = 0.5
SWAP_EVERY_S = 0.2
#: What a client without manners sends, one after the other.
GARBAGE = (
    [b""],
    [b"OIPZ1"],
    [b"HTTP/1.1", b"GET", b"/"],
    [b"OIPZ1", b"INFER", b"[" * 2000],
    [b"OIPZ1", b"INFER", b'{"id":"\xff"}'],
    [b"OIPZ1", b"INFER", b'{"model_name":"har","inputs":[]}', b"x" * 4608],
    [b"OIPZ1", b"STATS", b"{}", *[b"x"] * 100],
)


class Traffic:
    """Threads that ask until they are told to end.

    Attributes:
        requests: Good requests that were sent.
        errors: What they were answered with that was no result, by kind.
        bad: Bad messages that were sent.
    """

    def __init__(self, started: DaemonProcess) -> None:
        """Describe the traffic; `begin` starts it."""
        self.requests = 0
        self.errors: Counter[str] = Counter()
        self.bad = 0
        self._started = started
        self._over = threading.Event()
        self._lock = threading.Lock()
        good = [threading.Thread(target=self._good) for _ in range(CLIENTS)]
        self._threads = [*good, threading.Thread(target=self._bad)]

    def begin(self) -> None:
        """Start all threads."""
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Wait for all threads."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _good(self) -> None:
        x = windows()
        with self._started.client(timeout_s=10.0, retries=0) as client:
            count = 0
            while not self._over.wait(0.002):
                error = self._ask(client, x[count % len(x)])
                count += 1
                with self._lock:
                    self.requests += 1
                    if error:
                        self.errors[error] += 1

    def _ask(self, client: Client, window: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> str:
        try:
            client.infer(window)
        except ReplyError as error:
            return error.code
        except (OSError, RuntimeError) as error:
            return type(error).__name__
        return ""

    def _bad(self) -> None:
        """A new connection for each message; half of them leave before the answer."""
        with zmq.Context() as context:
            while not self._over.wait(0.02):
                with context.socket(zmq.DEALER) as socket:
                    socket.linger = 0
                    socket.connect(self._started.endpoint)
                    socket.send_multipart(GARBAGE[self.bad % len(GARBAGE)])
                    if self.bad % 2:
                        socket.poll(1000)
                self.bad += 1


def main() -> None:
    """Soak a daemon that serves HAR."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    options = parser.parse_args()
    bundle = har()
    names = [bundle.space.format(genome) for genome in bundle.space.random(np.random.default_rng(3), 200)]
    with daemon({"policy": {"trigger": {"period_s": 3600.0}}}) as started, started.control() as control:
        process = psutil.Process(started.process.pid)
        traffic = Traffic(started)
        descriptors = process.num_fds()
        begun_s = time.monotonic()
        until_s = begun_s + 60 * options.minutes
        looks: list[tuple[float, float]] = []
        swaps = 0
        traffic.begin()
        try:
            while (now_s := time.monotonic()) < until_s:
                if not looks or now_s - begun_s - looks[-1][0] >= LOOK_S:
                    looks.append((now_s - begun_s, process.memory_info().rss / 2**20))
                control.call("pin", subnet=names[swaps % len(names)])
                swaps += 1
                time.sleep(SWAP_EVERY_S)
        finally:
            traffic.end()
        with started.client(timeout_s=10.0) as client:
            rejected = {reason: count for reason, count in client.stats().rejected.items() if count}
        time.sleep(1.0)
        settled = np.array(looks[len(looks) // 10 :])
        slope_mib_per_s = float(np.polyfit(settled[:, 0], settled[:, 1], 1)[0])
        finish(
            {
                "minutes": options.minutes,
                "requests": traffic.requests,
                "bad_messages": traffic.bad,
                "errors": dict(traffic.errors),
                "rejected": rejected,
                "rss_start_mib": round(looks[0][1], 1),
                "rss_end_mib": round(looks[-1][1], 1),
                "rss_slope_mib_per_hour": round(slope_mib_per_s * 3600, 2),
                "descriptors_start": descriptors,
                "descriptors_end": process.num_fds(),
                "swaps": swaps,
            }
        )


if __name__ == "__main__":
    main()
