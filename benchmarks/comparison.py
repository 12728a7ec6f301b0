"""The daemon beside MLServer and plain FastAPI, each around the same onnxruntime session, in one run.

Needs the extra ``comparison`` (MLServer, FastAPI, uvicorn), best in an environment of its own: MLServer brings much.
Every server gets its requests from a driver that is as lean as Python allows and encodes nothing while it measures.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil
import zmq

from adaspring.bundle import load_bundle
from adaspring.cli.process import DaemonProcess
from adaspring.engine import make_engine
from adaspring.resources import resource
from adaspring.serve import protocol
from benchmarks.harness import daemon, finish, frames_of, free_ports, percentile
from benchmarks.rival_drivers import (
    IN_FLIGHT,
    GrpcDriver,
    HttpDriver,
    Outcome,
    binary_requests,
    grpc_requests,
    json_requests,
    post,
    receive,
)
from benchmarks.rivals import Port, rival
from benchmarks.servers import Address
from benchmarks.socket import LEAD, ROUND, Driver, engine_round, in_turns

#: How long a server may take to start, in seconds.
START_S = 60.0
PACKAGES = ("mlserver", "fastapi", "uvicorn", "grpcio", "onnxruntime", "numpy")


def main() -> None:
    """Start them all, and let them take turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=2000, help="frames of each way (default: 2000)")
    options = parser.parse_args()
    path = resource("models", "har", "bundle")
    loaded = load_bundle(path)
    subnet = loaded.space.format(loaded.space.full())
    x = frames_of("har")
    with ExitStack() as stack:
        first = free_ports(5)
        http_port, fastapi_port, mlserver_port = first, first + 1, Port(first + 2)
        ours = _ours(stack, subnet, http_port)
        processes = {
            "adaspringd": ours.process,
            "fastapi": stack.enter_context(rival("fastapi", path, subnet, fastapi_port)),
            "mlserver": stack.enter_context(rival("mlserver", path, subnet, mlserver_port.http)),
        }
        in_json, binary = json_requests(x), binary_requests(x)
        expected = make_engine("onnxruntime", loaded).prepare(loaded.space.parse(subnet)).subnet
        for port in (fastapi_port, mlserver_port.http, http_port):
            _wait(port, in_json[0], expected.run(x[:1]))
        context = stack.enter_context(zmq.Context())
        oipz = [protocol.encode_infer(str(row), "har", "x", x[row : row + 1]) for row in range(len(x))]
        drivers: dict[str, Any] = {
            "adaspringd_ipc": Driver(context, Address(ours.endpoint), oipz),
            "adaspringd_http_binary": HttpDriver(http_port, binary),
            "adaspringd_http_json": HttpDriver(http_port, in_json),
            "mlserver_grpc": GrpcDriver(mlserver_port.grpc, grpc_requests(x)),
            "mlserver_http_json": HttpDriver(mlserver_port.http, in_json),
            "fastapi_raw": HttpDriver(fastapi_port, [post("/raw", {}, row.tobytes()) for row in x]),
            "fastapi_json": HttpDriver(fastapi_port, in_json),
        }
        for name in ("adaspringd_ipc", "mlserver_grpc"):
            stack.callback(drivers[name].close)
        load = os.getloadavg()[0]
        ways: dict[str, Callable[[], Outcome]] = {"engine": lambda: engine_round(expected, x)}
        ways |= {name: lambda driver=driver: _turn(driver, 1) for name, driver in drivers.items()}  # type: ignore[misc]
        alone = in_turns(ways, max(2, options.frames // ROUND))
        ways = {name: lambda driver=driver: _turn(driver, IN_FLIGHT) for name, driver in drivers.items()}  # type: ignore[misc]
        together = in_turns(ways, max(2, options.frames // ROUND))
        finish(
            {
                "ways": {name: _figures(alone[name], together[name]) for name in drivers},
                "engine_p50_us": percentile(alone["engine"][0], 50),
                "rss_mib": {name: _rss_mib(process.pid) for name, process in processes.items()},
                "load_average_before": round(load, 2),
                "load_average_behind": round(os.getloadavg()[0], 2),
                "versions": {name: version(name) for name in PACKAGES},
                "subnet": subnet,
            }
        )


def _ours(stack: ExitStack, subnet: str, http_port: int) -> DaemonProcess:
    started = stack.enter_context(daemon({"serve": {"http": f"127.0.0.1:{http_port}"}}))
    with started.control() as control:
        control.call("pin", subnet=subnet)
    return started


def _turn(driver: Any, in_flight: int) -> Outcome:
    """A turn of a driver, behind a few requests that wake its server and do not count."""
    driver.run(LEAD, 1)
    outcome: Outcome = driver.run(ROUND, in_flight)
    return outcome


def _figures(alone: Outcome, together: Outcome) -> dict[str, float]:
    return {
        "p50_us": percentile(alone[0], 50),
        "p99_us": percentile(alone[0], 99),
        "throughput_16_per_s": together[1],
        "p99_16_us": percentile(together[0], 99),
    }


def _wait(port: int, request: bytes, expected: npt.NDArray[np.float32]) -> None:
    """Wait until a server answers, and see that its answer is that of the session."""
    until_s = time.monotonic() + START_S
    while True:
        try:
            connection = socket.create_connection(("127.0.0.1", port))
            break
        except ConnectionRefusedError:
            if time.monotonic() > until_s:
                raise SystemExit(f"a server of the benchmark did not start within {START_S:g} s") from None
            time.sleep(0.1)
    with connection:
        connection.sendall(request)
        (output,) = json.loads(receive(connection))["outputs"]
    np.testing.assert_allclose(np.reshape(output["data"], output["shape"]), expected, rtol=1e-4, atol=1e-5)


def _rss_mib(pid: int) -> float:
    return round(psutil.Process(pid).memory_info().rss / 2**20, 1)


if __name__ == "__main__":
    main()
