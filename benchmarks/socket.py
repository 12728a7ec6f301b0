"""What the socket costs: bare echo, bare engine, and the daemon, one frame at a time."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import numpy as np
import zmq

from adaspring.client.core import Codec
from adaspring.engine import make_engine
from benchmarks.harness import daemon, finish, har, percentile, windows

FRAMES = 4000
#: Echo, engine and daemon take turns of so many frames, so that a busy moment falls on all three.
ROUND = 200

ECHO = """
import sys, zmq
socket = zmq.Context().socket(zmq.ROUTER)
socket.bind(sys.argv[1])
while True:
    socket.send_multipart(socket.recv_multipart())
"""


def main() -> None:
    """Time the three side by side."""
    bundle, x = har(), windows()
    with tempfile.TemporaryDirectory(prefix="adaspring-") as folder, daemon({}) as started:
        address = f"ipc://{folder}/echo"
        echo_server = subprocess.Popen([sys.executable, "-c", ECHO, address])
        try:
            echo: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.DEALER)
            echo.setsockopt(zmq.LINGER, 0)
            echo.connect(address)
            client = started.client()
            meta, codec = client.meta(), Codec(None)
            subnet = make_engine("onnxruntime", bundle).prepare(bundle.space.parse(meta.parameters.subnet)).subnet

            def ask_echo(index: int) -> None:
                echo.send_multipart(codec.infer(x[index], meta, timeout_us=None, priority=None).frames)
                echo.recv_multipart()

            def ask_engine(index: int) -> None:
                subnet.run(x[index : index + 1])

            def ask_daemon(index: int) -> None:
                client.infer(x[index])

            elapsed = _interleave({"echo": ask_echo, "engine": ask_engine, "infer": ask_daemon}, len(x))
        finally:
            echo_server.kill()
            echo_server.wait()
        client.close()
    p50 = {name: percentile(values, 50) for name, values in elapsed.items()}
    finish(
        {
            "echo_p50_us": p50["echo"],
            "infer_p50_us": p50["infer"],
            "engine_p50_us": p50["engine"],
            # What is neither transport nor compute: queue, checks, headers, statistics.
            "overhead_p50_us": round(p50["infer"] - p50["echo"] - p50["engine"], 3),
            "infer_p99_us": percentile(elapsed["infer"], 99),
            "echo_p99_us": percentile(elapsed["echo"], 99),
            "subnet": meta.parameters.subnet,
        }
    )


def _interleave(ways: dict[str, Callable[[int], None]], count: int) -> dict[str, list[float]]:
    elapsed: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(FRAMES // ROUND + 1):
        for name, ask in ways.items():
            for frame in range(ROUND):
                started = time.perf_counter()
                ask((turn * ROUND + frame) % count)
                if turn:  # the first round warms up
                    elapsed[name].append((time.perf_counter() - started) * 1e6)
    return {name: np.asarray(values).tolist() for name, values in elapsed.items()}


if __name__ == "__main__":
    main()
