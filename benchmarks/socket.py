"""What the socket costs: bare echo, bare engine, a bare loop and the daemon, by payload and transport."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zmq

from adaspring.bundle import load_bundle
from adaspring.client import AsyncClient, Client
from adaspring.client.curve import CurveKeys
from adaspring.engine import Subnet, make_engine
from adaspring.resources import resource
from adaspring.serve import protocol
from adaspring.space import SlotSpec, SpaceSpec
from benchmarks.harness import daemon, finish, percentile
from benchmarks.servers import KINDS, Address, Keys, server
from benchmarks.toys import write_toy

#: Those compared take turns of so many frames, so that a busy moment falls on all of them.
ROUND = 100
#: Frames at the beginning of a turn that do not count: they find threads asleep and caches full of what the others did.
#: One such frame among a hundred would make the 99th percentile that of taking turns; the first is told by itself.
LEAD = 5
IN_FLIGHT = (1, 4, 16)
TRANSPORTS = ("ipc", "tcp", "curve")

#: Networks of random weights, whose compute is that of a small one at these inputs: 64 KB of log-mel, 150 KB of image.
TOYS = {
    "log_mel_64_kb": SpaceSpec(
        input_channels=64,
        input_size=(250,),
        outputs=10,
        slots=tuple(SlotSpec(width=width, stride=2) for width in (32, 64, 64)),
    ),
    "image_150_kb": SpaceSpec(
        input_channels=3,
        input_size=(112, 112),
        outputs=10,
        slots=tuple(SlotSpec(width=width, stride=2) for width in (16, 32, 64)),
    ),
}


class Driver:
    """A DEALER that keeps so many requests under way, as lean as Python allows: the servers are measured, not it.

    Attributes:
        rested_us: Round trips of the first frames of turns, while others had theirs before.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], address: Address, frames: list[list[bytes]]) -> None:
        """Connect; ``frames`` are the requests, sent in turn."""
        self.rested_us: list[float] = []
        self._socket = address.connect(context)
        self._frames = frames
        self._sent = 0

    def turn(self, count: int, in_flight: int) -> tuple[list[float], float]:
        """As `run`, behind a few frames that do not count."""
        self.rested_us.append(self.run(LEAD, 1)[0][0])
        return self.run(count, in_flight)

    def run(self, count: int, in_flight: int) -> tuple[list[float], float]:
        """Send and receive so many requests for each that is under way, so that starting and ending weigh the same.

        Returns:
            Round trips in microseconds, and requests a second. Replies may come in another order than
            requests; times are told apart for one under way, and else those of a request that left so long ago.
        """
        elapsed, began_s = [], time.perf_counter()
        count *= min(in_flight, 4)
        sent_s = [self._send() for _ in range(in_flight)]
        for received in range(count):
            kind = self._socket.recv_multipart()[1]
            now_s = time.perf_counter()
            if kind == protocol.ERR:
                raise SystemExit("the server refused a request of the benchmark")
            elapsed.append((now_s - sent_s[received]) * 1e6)
            if received + in_flight < count:
                sent_s.append(self._send())
        return elapsed, count / (time.perf_counter() - began_s)

    def _send(self) -> float:
        now_s = time.perf_counter()
        self._socket.send_multipart(self._frames[self._sent % len(self._frames)])
        self._sent += 1
        return now_s

    def close(self) -> None:
        """Disconnect."""
        self._socket.close()


def main() -> None:
    """Compare them all; the fields at the top are the HAR window over ipc, served by the whole daemon."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=4000, help="frames of each comparison (default: 4000)")
    parser.add_argument("--quick", action="store_true", help="the HAR window over ipc alone")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="adaspring-") as name:
        folder = Path(name)
        figures = _headline(folder, options.frames)
        if not options.quick:
            bundles = {"har_4_6_kb": resource("models", "har", "bundle")}
            bundles |= {toy: write_toy(spec, folder / toy) for toy, spec in TOYS.items()}
            figures["payloads"] = {
                payload: {how: _compare(folder, bundle, how, options.frames // 4) for how in TRANSPORTS}
                for payload, bundle in bundles.items()
            }
    finish(figures)


def _headline(folder: Path, frames: int) -> dict[str, Any]:
    path = resource("models", "har", "bundle")
    with ExitStack() as stack:
        started = stack.enter_context(daemon({}))
        client = stack.enter_context(started.client())
        space = load_bundle(path).space
        # The uncompressed network, whatever this machine's context asks for: figures of two runs are of the same.
        name = space.format(space.full())
        with started.control() as control:
            control.call("pin", subnet=name)
        addresses = {"infer": Address(started.endpoint)}
        for kind in ("echo", "bare"):
            addresses[kind] = stack.enter_context(server(kind, path, name, Address(f"ipc://{folder}/{kind}")))
        figures = _measure(stack, path, name, addresses, frames)
        figures |= _clients(client, AsyncClient(started.endpoint), _input(path, 64), frames)
    names = {"bare": "bare_loop"}
    one = {
        f"{names.get(kind, kind)}_p{percent}_us": figures[kind]["1"][f"p{percent}_us"]
        for kind in ("echo", "bare", "infer")
        for percent in (50, 99)
    }
    return {
        "echo_p50_us": one["echo_p50_us"],
        "engine_p50_us": figures["engine_p50_us"],
        "bare_loop_p50_us": one["bare_loop_p50_us"],
        "bare_loop_p99_us": one["bare_loop_p99_us"],
        "infer_p50_us": one["infer_p50_us"],
        "infer_p99_us": one["infer_p99_us"],
        "ratio_p50_to_bare_loop": round(one["infer_p50_us"] / one["bare_loop_p50_us"], 3),
        "ratio_p99_to_bare_loop": round(one["infer_p99_us"] / one["bare_loop_p99_us"], 3),
        "throughput_16_per_s": figures["infer"]["16"]["per_s"],
        "bare_loop_throughput_16_per_s": figures["bare"]["16"]["per_s"],
        "engine_loop_per_s": figures["engine_per_s"],
        "ratio_throughput_16_to_engine_loop": round(figures["infer"]["16"]["per_s"] / figures["engine_per_s"], 3),
        "bare_loop_rested_p50_us": figures["bare"]["rested_p50_us"],
        "infer_rested_p50_us": figures["infer"]["rested_p50_us"],
        "overhead_p50_us": round(one["infer_p50_us"] - one["echo_p50_us"] - figures["engine_p50_us"], 1),
        "blocking_client_p50_us": figures["blocking_client_p50_us"],
        "asyncio_client_p50_us": figures["asyncio_client_p50_us"],
        "asyncio_client_16_per_s": figures["asyncio_client_16_per_s"],
        "subnet": name,
        "in_flight": {names.get(kind, kind): figures[kind] for kind in ("echo", "bare", "infer")},
    }


def _compare(folder: Path, bundle: Path, transport: str, frames: int) -> dict[str, Any]:
    space = load_bundle(bundle).space
    name = space.format(space.full())
    with ExitStack() as stack:
        addresses = {}
        for kind in KINDS:
            endpoint = f"ipc://{folder}/{kind}" if transport == "ipc" else "tcp://127.0.0.1:*"
            keys = Keys(*zmq.curve_keypair()) if transport == "curve" else None
            addresses[kind] = stack.enter_context(server(kind, bundle, name, Address(endpoint, keys)))
        figures = _measure(stack, bundle, name, addresses, frames)
        endpoint, keys = addresses["ours"]
        curve = CurveKeys(*zmq.curve_keypair(), keys.public) if keys else None
        blocking = stack.enter_context(Client(endpoint, curve=curve))
        return figures | _clients(blocking, AsyncClient(endpoint, curve=curve), _input(bundle, 64), frames)


def _measure(
    stack: ExitStack, path: Path, subnet: str, addresses: Mapping[str, Address], frames: int
) -> dict[str, Any]:
    """Round trips and throughput of all servers and of the engine alone, in turns."""
    context = stack.enter_context(zmq.Context())
    bundle = load_bundle(path)
    x = _input(path, 64)
    name, tensor = bundle.manifest.name, bundle.manifest.input.name
    requests = [protocol.encode_infer(str(row), name, tensor, x[row : row + 1]) for row in range(len(x))]
    drivers = {kind: Driver(context, where, requests) for kind, where in addresses.items()}
    for driver in drivers.values():
        stack.callback(driver.close)
    engine = make_engine("onnxruntime", bundle).prepare(bundle.space.parse(subnet)).subnet
    figures: dict[str, Any] = {kind: {} for kind in drivers}
    for in_flight in IN_FLIGHT:
        ways: dict[str, Callable[[], tuple[list[float], float]]] = {
            kind: lambda driver=driver, in_flight=in_flight: driver.turn(
                ROUND if in_flight == 1 else 4 * ROUND, in_flight
            )  # type: ignore[misc]
            for kind, driver in drivers.items()
        }
        if in_flight in {1, IN_FLIGHT[-1]}:
            ways["engine"] = lambda: engine_round(engine, x)
        for kind, (elapsed, per_s) in in_turns(ways, max(2, frames // ROUND)).items():
            if kind != "engine":
                p50, p99 = percentile(elapsed, 50), percentile(elapsed, 99)
                figures[kind][str(in_flight)] = {"p50_us": p50, "p99_us": p99, "per_s": per_s}
            elif in_flight == 1:
                figures["engine_p50_us"] = percentile(elapsed, 50)
            else:
                figures["engine_per_s"] = per_s
    for kind, driver in drivers.items():
        # Each way's first round warms up and is left out elsewhere too.
        figures[kind]["rested_p50_us"] = percentile(driver.rested_us[1:], 50)
    return figures


def in_turns(
    ways: Mapping[str, Callable[[], tuple[list[float], float]]], rounds: int
) -> dict[str, tuple[list[float], float]]:
    """All round trips, and the median of the rounds' throughputs; the first round warms up."""
    elapsed: dict[str, list[float]] = {kind: [] for kind in ways}
    rates: dict[str, list[float]] = {kind: [] for kind in ways}
    for turn in range(rounds + 1):
        for kind, way in ways.items():
            times, per_s = way()
            if turn:
                elapsed[kind] += times
                rates[kind].append(per_s)
    return {kind: (elapsed[kind], round(float(np.median(rates[kind])), 1)) for kind in ways}


def engine_round(subnet: Subnet, x: npt.NDArray[np.float32]) -> tuple[list[float], float]:
    """A round of frames computed without any server."""
    elapsed = []
    for index in range(ROUND):
        row = index % len(x)
        started_s = time.perf_counter()
        subnet.run(x[row : row + 1])
        elapsed.append((time.perf_counter() - started_s) * 1e6)
    return elapsed, ROUND / (sum(elapsed) * 1e-6)


def _clients(blocking: Client, asynchronous: AsyncClient, x: npt.NDArray[np.float32], frames: int) -> dict[str, float]:
    """The Python clients: one request at a time, and the asyncio client with 16 under way."""
    elapsed = [blocking.infer(x[frame % len(x)]).round_trip_us for frame in range(frames // 2)]

    async def ask() -> tuple[list[float], float]:
        async with asynchronous as client:
            times = [(await client.infer(x[frame % len(x)])).round_trip_us for frame in range(frames // 2)]
            began_s = time.perf_counter()
            rows = iter(range(frames // 2))

            async def worker() -> None:
                for row in rows:
                    await client.infer(x[row % len(x)])

            await asyncio.gather(*(worker() for _ in range(IN_FLIGHT[-1])))
            return times, (frames // 2) / (time.perf_counter() - began_s)

    times, per_s = asyncio.run(ask())
    return {
        "blocking_client_p50_us": percentile(elapsed, 50),
        "asyncio_client_p50_us": percentile(times, 50),
        "asyncio_client_16_per_s": round(per_s, 1),
    }


def _input(bundle: Path, count: int) -> npt.NDArray[np.float32]:
    """Noise, not zeros: zeros would make denormals and sparsity look quicker than life."""
    shape = load_bundle(bundle).manifest.input.shape
    return np.random.default_rng(0).standard_normal((count, *shape), dtype=np.float32)


if __name__ == "__main__":
    main()
