"""Good and bad traffic for minutes: threads that ask a daemon, or molest it, until they are told to end."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import numpy as np
import zmq

from adaspring.cli.process import DaemonProcess
from adaspring.client import Client
from adaspring.errors import ReplyError
from benchmarks.harness import windows

#: How long a good client waits, in seconds: beyond it something is stuck.
PATIENCE_S = 10.0
#: Samples of a visit's recording, and of each piece of it.
RECORDING, PIECE = 512, 50
HOP = 64
#: What a client without manners sends, one after the other.
GARBAGE = (
    [b""],
    [b"OIPZ1"],
    [b"HTTP/1.1", b"GET", b"/"],
    [b"OIPZ1", b"INFER", b"[" * 2000],
    [b"OIPZ1", b"INFER", b'{"id":"\xff"}'],
    [b"OIPZ1", b"INFER", b'{"model_name":"har","inputs":[]}', b"x" * 4608],
    [b"OIPZ1", b"PUSH", b'{"id":"none","inputs":[]}', b"x"],
    [b"OIPZ1", b"STATS", b"{}", *[b"x"] * 100],
    [b"OIPZ1", b"STATS", b"{}", bytes(1 << 20)],
)
#: What comes to the HTTP port and is no request, or no whole one.
BAD_HTTP = (
    b"\x00\xff\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost",
    b"POST /v2/models/har/infer HTTP/1.1\r\nContent-Length: 100\r\n\r\n{",
    b"POST /v2/models/har/infer HTTP/1.1\r\nContent-Length: 2\r\n\r\n[]",
)


class Traffic:
    """Asks a daemon that serves HAR.

    Attributes:
        requests: What good clients asked for, by kind.
        errors: What they were answered with that was no result, by kind of error.
        bad: What the others sent, by kind.
    """

    def __init__(self, started: DaemonProcess, http_address: str) -> None:
        """Describe the traffic; `begin` starts it."""
        self.requests: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.bad: Counter[str] = Counter()
        self._started = started
        self._http = http_address
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._x = windows()
        ways: list[Callable[[], None]] = [self._ask, self._ask, self._visit, self._stream, self._browse]
        ways += [self._send_garbage, self._never_read, self._say_nothing, self._molest_http]
        self._threads = [threading.Thread(target=way) for way in ways]

    def begin(self) -> None:
        """Start all threads."""
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Wait for all threads."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    @contextmanager
    def _counted(self, kind: str, requests: int = 1) -> Iterator[None]:
        """Requests of good clients, whatever comes of them."""
        error = ""
        try:
            yield
        except ReplyError as reply:
            error = reply.code
        except (OSError, RuntimeError, ValueError, http.client.HTTPException) as raised:
            error = type(raised).__name__
        with self._lock:
            self.requests[kind] += requests
            if error:
                self.errors[error] += 1

    def _client(self) -> Client:
        return self._started.client(timeout_s=PATIENCE_S, retries=0)

    def _ask(self) -> None:
        """One frame after the other over one connection."""
        with self._client() as client:
            count = 0
            while not self._over.wait(0.002):
                with self._counted("frames"):
                    client.infer(self._x[count % len(self._x)])
                count += 1

    def _visit(self) -> None:
        """A connection for a batch and some frames at once; then it is closed."""
        while not self._over.wait(0.05):
            with self._counted("visits", 10), self._client() as client:
                client.meta()
                client.infer(self._x[:4])
                list(client.infer_many(self._x[:8]))

    def _stream(self) -> None:
        """A stream that is opened, pushed a recording in pieces, and closed."""
        recording = np.random.default_rng(1).standard_normal((RECORDING, 6), dtype=np.float32)
        expected = (RECORDING - self._x.shape[-1]) // HOP + 1
        with self._client() as client:
            while not self._over.wait(0.05):
                with self._counted("windows", expected), client.stream(hop=HOP) as stream:
                    for first in range(0, RECORDING, PIECE):
                        stream.push(recording[first : first + PIECE])
                    for _ in range(expected):
                        window = stream.next(PATIENCE_S)
                        if window is None:
                            raise TimeoutError("a window never came")
                        if window.error is not None:
                            raise window.error

    def _browse(self) -> None:
        """Frames in JSON over HTTP, some to a connection."""
        tensor = {"name": "x", "datatype": "FP32", "shape": [1, *self._x.shape[1:]], "data": self._x[0].tolist()}
        body = json.dumps({"inputs": [tensor]})
        while not self._over.is_set():
            connection = http.client.HTTPConnection(self._http, timeout=PATIENCE_S)
            for _ in range(20):
                with self._counted("http"):
                    connection.request("POST", "/v2/models/har/infer", body)
                    response = connection.getresponse()
                    response.read()
                    if response.status != http.client.OK:
                        raise http.client.HTTPException(response.status)
                if self._over.wait(0.02):
                    break
            connection.close()

    def _send_garbage(self) -> None:
        """A new connection for each message; half of them leave before the answer."""
        with zmq.Context() as context:
            while not self._over.wait(0.02):
                with context.socket(zmq.DEALER) as dealer:
                    dealer.linger = 0
                    dealer.connect(self._started.endpoint)
                    number = self.bad["messages"]
                    dealer.send_multipart(GARBAGE[number % len(GARBAGE)])
                    if number % 2:
                        dealer.poll(100)
                self.bad["messages"] += 1

    def _never_read(self) -> None:
        """Clients that ask for more than they will ever read, and then leave."""
        with zmq.Context() as context:
            while not self._over.wait(1.0):
                with context.socket(zmq.DEALER) as deaf:
                    deaf.linger, deaf.rcvhwm, deaf.rcvbuf = 0, 1, 4096
                    deaf.connect(self._started.endpoint)
                    with suppress(zmq.Again):
                        for _ in range(2000):
                            deaf.send_multipart([b"OIPZ1", b"META", b"{}"], zmq.NOBLOCK)
                    self._over.wait(1.0)
                self.bad["deaf"] += 1

    def _say_nothing(self) -> None:
        """Connections below ZeroMQ that say nothing, or nonsense."""
        while not self._over.wait(0.1):
            with socket.socket(socket.AF_UNIX) as connection, suppress(OSError):
                connection.connect(self._started.endpoint.removeprefix("ipc://"))
                connection.sendall(b"\xff" * (self.bad["silent"] % 3))
                self._over.wait(0.05)
            self.bad["silent"] += 1

    def _molest_http(self) -> None:
        """Connections to the HTTP port that leave in the middle of a request."""
        host, port = self._http.split(":")
        while not self._over.wait(0.1):
            with socket.create_connection((host, int(port))) as connection, suppress(OSError):
                connection.sendall(BAD_HTTP[self.bad["http"] % len(BAD_HTTP)])
            self.bad["http"] += 1
