"""The HTTP face of a daemon, asked by a client that others wrote and by one without manners."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import zmq

from adaspring.app.config import ServeConfig
from adaspring.app.network import http_face
from adaspring.cli.process import DaemonProcess
from adaspring.errors import ConfigError
from adaspring.serve.http.server import MOST_CONNECTIONS, HttpServer
from adaspring.serve.protocol import DEFAULT_LIMITS
from tests.app.waiting import eventually

X = np.linspace(-1, 1, 96, dtype=np.float32).reshape(1, 3, 32)

#: Run in a process of its own: the client brings gevent, which warns of much.
TRITON = """
import json, sys
import numpy as np
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
client = InferenceServerClient(sys.argv[1])
x = np.linspace(-1, 1, 96, dtype=np.float32).reshape(1, 3, 32)
outputs = []
for binary_in in (True, False):
    for wanted in (None, [InferRequestedOutput("logits", binary_data=False)], [InferRequestedOutput("logits")]):
        tensor = InferInput("x", [1, 3, 32], "FP32")
        tensor.set_data_from_numpy(x, binary_data=binary_in)
        result = client.infer("toy", [tensor], outputs=wanted, request_id="7")
        outputs.append(result.as_numpy("logits").tolist())
print(json.dumps({
    "live": client.is_server_live(),
    "ready": client.is_server_ready(),
    "model_ready": client.is_model_ready("toy"),
    "other_ready": client.is_model_ready("other"),
    "server": client.get_server_metadata(),
    "model": client.get_model_metadata("toy"),
    "outputs": outputs,
    "subnet": result.get_response()["parameters"]["subnet"],
}))
"""


@pytest.fixture(scope="module")
def address() -> str:
    """A port that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture(scope="module")
def daemon(small_bundle_folder: Path, address: str) -> Iterator[DaemonProcess]:
    """Serves the small bundle over HTTP as well."""
    config = {
        "bundle": str(small_bundle_folder),
        "serve": {"http": address},
        "device": {"profile": "generic-x86_64", "background_profiling": False},
        "policy": {"trigger": {"period_s": 3600.0}},
    }
    with DaemonProcess(config, sysroot=small_bundle_folder, timeout_s=30.0) as started:
        yield started


class Http:
    """A connection that is kept."""

    def __init__(self, address: str) -> None:
        """Connect at the first request."""
        self.connection = http.client.HTTPConnection(address, timeout=30)

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        """Status, and the JSON of the answer."""
        self.connection.request(method, path, body, headers or {})
        response = self.connection.getresponse()
        content = response.read()
        return response.status, json.loads(content) if content else None


@pytest.fixture
def ask(daemon: DaemonProcess, address: str) -> Iterator[Http]:
    """A connection to the daemon, which serves still when the test is over."""
    client = Http(address)
    yield client
    client.connection.close()
    after = Http(address)
    assert (200, None) == after.ask("GET", "/v2/health/live")
    after.connection.close()
    assert daemon.process.poll() is None


def infer_body(**changes: Any) -> bytes:
    """A good request, but for the changes."""
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 3, 32], "data": X.tolist()}
    return json.dumps({"inputs": [tensor | changes]}).encode()


def test_an_answer_leaves_in_one_piece(ask: Http, address: str) -> None:
    """Head and body come together: in two pieces the second would wait for the first to be acknowledged."""
    body = infer_body()
    head = f"POST /v2/models/toy/infer HTTP/1.1\r\nHost: {address}\r\nContent-Length: {len(body)}\r\n\r\n"
    assert (200, None) == ask.ask("GET", "/v2/health/live")
    host, port = address.split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        for _ in range(5):
            connection.sendall(head.encode() + body)
            received_head, _, content = connection.recv(1 << 16).partition(b"\r\n\r\n")
            assert received_head.startswith(b"HTTP/1.1 200")
            assert f"content-length: {len(content)}".encode() in received_head.lower()


def test_tritonclient_works_unchanged(daemon: DaemonProcess, address: str) -> None:
    """Health, metadata, and inference with JSON and binary tensors each way, equal to OIP/Z's answer."""
    pytest.importorskip("tritonclient")
    command = [sys.executable, "-W", "ignore", "-c", TRITON, address]
    told = json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout)
    with daemon.client(timeout_s=30) as client:
        expected = client.infer(X)
    assert [True, True, True, False] == [told[key] for key in ("live", "ready", "model_ready", "other_ready")]
    assert "adaspring" == told["server"]["name"]
    assert ("toy", "x", [-1, 3, 32]) == (
        told["model"]["name"],
        told["model"]["inputs"][0]["name"],
        told["model"]["inputs"][0]["shape"],
    )
    assert expected.subnet == told["subnet"]
    for outputs in told["outputs"]:
        np.testing.assert_allclose(outputs, expected.outputs, rtol=1e-6)


@pytest.mark.parametrize(
    ("status", "method", "path", "body"),
    [
        (404, "GET", "/", None),
        (404, "GET", "/v2/models/other", None),
        (404, "POST", "/v2/models/other/infer", infer_body()),
        (404, "POST", "/v2/models/toy/versions/9/infer", infer_body()),
        (404, "POST", "/v2/health/live", b"{}"),
        (400, "POST", "/v2/models/toy/infer", b"[" * 1000),
        (400, "POST", "/v2/models/toy/infer", b'{"id": "\xff"}'),
        (400, "POST", "/v2/models/toy/infer", infer_body(shape=[1, 2, 32])),
        (400, "POST", "/v2/models/toy/infer", infer_body(data=["one"])),
        (400, "POST", "/v2/models/toy/infer", infer_body(data=None)),
        (400, "POST", "/v2/models/toy/infer", infer_body(parameters={"binary_data_size": 99})),
        (400, "POST", "/v2/models/toy/infer", infer_body(parameters={"binary_data_size": -1})),
        (400, "POST", "/v2/models/toy/infer", infer_body() + b"more"),
    ],
)
def test_bad_requests_are_told_what_is_wrong(
    ask: Http, status: int, method: str, path: str, body: bytes | None
) -> None:
    """By status and sentence; the connection goes on."""
    told, answer = ask.ask(method, path, body)
    assert (status, True) == (told, bool(answer["error"]))
    assert 200 == ask.ask("POST", "/v2/models/toy/infer", infer_body())[0]


def test_a_body_that_is_too_large_or_packed_is_not_read(ask: Http, address: str) -> None:
    """It is refused by its headers, and the connection ends."""
    for status, name, value in ((413, "Content-Length", str(1 << 30)), (415, "Content-Encoding", "gzip")):
        refused = Http(address)
        assert status == refused.ask("POST", "/v2/models/toy/infer", b"", {name: value})[0]
        refused.connection.close()
    assert 400 == ask.ask("POST", "/v2/models/toy/infer", infer_body(), {"Inference-Header-Content-Length": "x"})[0]


def test_connections_are_bounded(ask: Http, address: str, daemon: DaemonProcess) -> None:
    """One more is told to come again, and counted; those that stand are served, by one thread; then there is room."""
    threads = len(psutil.Process(daemon.process.pid).threads())
    assert 200 == ask.ask("GET", "/v2/health/ready")[0]
    held = [Http(address) for _ in range(MOST_CONNECTIONS - 1)]
    try:
        for client in held:
            assert 200 == client.ask("GET", "/v2/health/live")[0]
        extra = Http(address)
        status, answer = extra.ask("GET", "/v2/health/live")
        assert (503, True) == (status, "try again" in answer["error"])
        extra.connection.close()
        with daemon.client(timeout_s=30) as asking:
            assert asking.stats().rejected["http"] >= 1
        assert threads >= len(psutil.Process(daemon.process.pid).threads())
    finally:
        for client in held:
            client.connection.close()
    # There is room as soon as the daemon sees that they are gone.
    again = [Http(address)]
    while again[-1].ask("GET", "/v2/health/live")[0] == 503:
        again.append(Http(address))
    for client in again:
        client.connection.close()


def test_more_connections_than_are_even_told_so_leave_nothing_behind(
    ask: Http, address: str, daemon: DaemonProcess
) -> None:
    """Hundreds that say nothing cost no more than a bound, and once they are gone, none of it is left."""
    process = psutil.Process(daemon.process.pid)
    assert 200 == ask.ask("GET", "/v2/health/live")[0]
    before = process.num_fds()
    host, port = address.split(":")
    with ExitStack() as silent:
        for _ in range(10 * MOST_CONNECTIONS):
            silent.enter_context(socket.create_connection((host, int(port)), timeout=30))
        assert 200 == ask.ask("POST", "/v2/models/toy/infer", infer_body())[0]
        # Each has its socket, and those that are served one to the data plane, which has a descriptor of its own.
        assert process.num_fds() <= before + 5 * MOST_CONNECTIONS
    assert eventually(lambda: process.num_fds() <= before + 2, 30.0)


def test_without_its_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where HTTP is configured; a daemon that does not serve it never looks for the library."""
    for name in ("adaspring.serve.http.server", "adaspring.serve.http.connection"):
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "h11", None)
    with pytest.raises(ConfigError, match=r"h11 package: pip install 'adaspring\[http\]'"):
        http_face(ServeConfig(http="127.0.0.1:8000"))
    assert http_face(ServeConfig()) is None


@pytest.mark.parametrize("address", ["0.0.0.0:8000", "example.org:80", "127.0.0.1", "127.0.0.1:http", "[::1]:80"])
def test_an_address_that_others_could_reach_is_refused(address: str) -> None:
    """There is no access control on HTTP, so it stays on this machine."""
    with zmq.Context() as context, pytest.raises(ConfigError, match="loopback"):
        HttpServer(context, address, "inproc://none", (), DEFAULT_LIMITS)
