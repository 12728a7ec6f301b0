"""Clients of other protocols, as lean as Python allows: what is sent was encoded beforehand, and nothing is decoded."""

from __future__ import annotations

import json
import queue
import selectors
import socket
import time
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
from mlserver.grpc import dataplane_pb2

#: Requests under way when there are several.
IN_FLIGHT = 16
#: Where the Open Inference Protocol is asked over HTTP.
INFER = "/v2/models/har/infer"

#: Round trips in microseconds, and requests a second.
Outcome = tuple[list[float], float]


class HttpDriver:
    """Keeps a request under way on each of some connections."""

    def __init__(self, port: int, requests: list[bytes]) -> None:
        """Ask here; ``requests`` are sent in turn, head and body."""
        self._port = port
        self._requests = requests

    def run(self, count: int, in_flight: int) -> Outcome:
        """As `benchmarks.socket.Driver.run`, on connections of its own: servers close those that say nothing."""
        with ExitStack() as stack:
            connections = [stack.enter_context(self._connected()) for _ in range(in_flight)]
            selector = stack.enter_context(selectors.DefaultSelector())
            for connection in connections:
                selector.register(connection, selectors.EVENT_READ, connection)
            elapsed: list[float] = []
            began_s = time.perf_counter()
            sent_s = {connection.fileno(): self._send(connection, row) for row, connection in enumerate(connections)}
            sent = in_flight
            while len(elapsed) < count:
                for key, _ in selector.select():
                    receive(key.data)
                    elapsed.append((time.perf_counter() - sent_s[key.fd]) * 1e6)
                    if sent < count:
                        sent_s[key.fd] = self._send(key.data, sent)
                        sent += 1
            return elapsed, count / (time.perf_counter() - began_s)

    def _connected(self) -> socket.socket:
        """A connection that was used once, so that accepting it is no part of a round trip."""
        connection = socket.create_connection(("127.0.0.1", self._port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._send(connection, 0)
        receive(connection)
        return connection

    def _send(self, connection: socket.socket, number: int) -> float:
        now_s = time.perf_counter()
        connection.sendall(self._requests[number % len(self._requests)])
        return now_s


class GrpcDriver:
    """Keeps calls under way on one channel; messages are encoded beforehand and replies not decoded."""

    def __init__(self, port: int, requests: list[bytes]) -> None:
        """Connect; ``requests`` are sent in turn."""
        self._channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        self._call = self._channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        self._requests = requests

    def run(self, count: int, in_flight: int) -> Outcome:
        """As `benchmarks.socket.Driver.run`."""
        began_s = time.perf_counter()
        elapsed: list[float] = []
        if in_flight == 1:
            for number in range(count):
                started_s = time.perf_counter()
                self._call(self._requests[number % len(self._requests)])
                elapsed.append((time.perf_counter() - started_s) * 1e6)
            return elapsed, count / (time.perf_counter() - began_s)
        done: queue.SimpleQueue[tuple[Any, float]] = queue.SimpleQueue()
        sent = 0
        while len(elapsed) < count:
            while sent < count and sent - len(elapsed) < in_flight:
                started_s = time.perf_counter()
                call = self._call.future(self._requests[sent % len(self._requests)])
                call.add_done_callback(lambda ended, started_s=started_s: done.put((ended, started_s)))
                sent += 1
            ended, started_s = done.get()
            ended.result()
            elapsed.append((time.perf_counter() - started_s) * 1e6)
        return elapsed, count / (time.perf_counter() - began_s)

    def close(self) -> None:
        """Disconnect."""
        self._channel.close()


def post(path: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """A whole request of HTTP."""
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def json_requests(x: npt.NDArray[np.float32]) -> list[bytes]:
    """Inference requests with the values in their JSON."""

    def body(row: npt.NDArray[np.float32]) -> bytes:
        tensor = {"name": "x", "datatype": "FP32", "shape": [1, *row.shape], "data": row.ravel().tolist()}
        return json.dumps({"id": "1", "inputs": [tensor]}).encode()

    return [post(INFER, {"Content-Type": "application/json"}, body(row)) for row in x]


def binary_requests(x: npt.NDArray[np.float32]) -> list[bytes]:
    """Inference requests of the binary tensor extension."""

    def request(row: npt.NDArray[np.float32]) -> bytes:
        size = {"binary_data_size": row.nbytes}
        tensor = {"name": "x", "datatype": "FP32", "shape": [1, *row.shape], "parameters": size}
        outputs = [{"name": "logits", "parameters": {"binary_data": True}}]
        header = json.dumps({"id": "1", "inputs": [tensor], "outputs": outputs}).encode()
        return post(INFER, {"Inference-Header-Content-Length": str(len(header))}, header + row.tobytes())

    return [request(row) for row in x]


def grpc_requests(x: npt.NDArray[np.float32]) -> list[bytes]:
    """Messages of gRPC with the tensor as raw bytes."""

    def request(row: npt.NDArray[np.float32]) -> bytes:
        message = dataplane_pb2.ModelInferRequest(model_name="har", id="1")
        tensor = message.inputs.add()
        tensor.name, tensor.datatype = "x", "FP32"
        tensor.shape.extend([1, *row.shape])
        message.raw_input_contents.append(row.tobytes())
        encoded: bytes = message.SerializeToString()
        return encoded

    return [request(row) for row in x]


def receive(connection: socket.socket) -> bytes:
    """The body of one response of known length."""
    received = connection.recv(1 << 16)
    while b"\r\n\r\n" not in received:
        received += _more(connection)
    head, _, body = received.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise SystemExit(f"a server refused a request of the benchmark: {head[:100]!r} {body[:200]!r}")
    length = next(
        int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
    )
    while len(body) < length:
        body += _more(connection)
    return body


def _more(connection: socket.socket) -> bytes:
    received = connection.recv(1 << 16)
    if not received:
        raise SystemExit("a server closed a connection of the benchmark")
    return received
