"""The daemon under attack and fault, as a process of its own: after each, a good client is served."""

from __future__ import annotations

import json
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import psutil
import pytest
import zmq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adaspring.app.status import Status
from adaspring.cli.process import DaemonProcess
from adaspring.serve.protocol import DEFAULT_LIMITS
from adaspring.serve.server import HANDSHAKE_MS
from tests.app.waiting import eventually

X = np.ones((3, 32), dtype=np.float32)
CONFIG: dict[str, Any] = {
    "device": {"profile": "generic-x86_64", "background_profiling": False},
    "policy": {"latency_p95_ms": 1000.0, "trigger": {"period_s": 3600.0}},
}
#: What a daemon may grow to that was flooded; it starts at about half of it.
BOUND_MIB = 200.0
#: Descriptors that libzmq may still hold of clients that are gone.
SPARE_DESCRIPTORS = 5
#: How long things may take to settle on a machine that is busy with other things, in seconds.
PATIENCE_S = 30.0

GOOD = json.dumps(
    {
        "id": "1",
        "model_name": "toy",
        "inputs": [
            {"name": "x", "datatype": "FP32", "shape": [1, 3, 32], "parameters": {"binary_data_size": X.nbytes}}
        ],
    }
).encode()
INFER = [b"OIPZ1", b"INFER", GOOD, X.tobytes()]

DYING_CLIENT = """
import sys, zmq
socket = zmq.Context().socket(zmq.DEALER)
socket.connect(sys.argv[1])
frames = [bytes.fromhex(frame) for frame in sys.argv[2:]]
for _ in range(50):
    socket.send_multipart(frames)
print("sent", flush=True)
sys.stdin.read()
"""


def make_daemon(bundle: Path, **config: Any) -> DaemonProcess:
    """Serves the small bundle, with no sensors that could cause an evolution."""
    return DaemonProcess({"bundle": str(bundle), **CONFIG, **config}, sysroot=bundle, timeout_s=PATIENCE_S)


@pytest.fixture(scope="module")
def daemon(small_bundle_folder: Path) -> Iterator[DaemonProcess]:
    """One daemon that has to stand all that the tests of this module do to it."""
    with make_daemon(small_bundle_folder) as started:
        yield started


@pytest.fixture(autouse=True)
def still_serving(request: pytest.FixtureRequest) -> Iterator[None]:
    """After whatever a test did, a good client is served and the daemon holds no more than before, within bounds."""
    if "daemon" not in request.fixturenames:
        yield
        return
    daemon = request.getfixturevalue("daemon")
    process = psutil.Process(daemon.process.pid)
    serves(daemon)
    before = process.num_fds()
    yield
    serves(daemon)
    assert peak_mib(daemon) < BOUND_MIB
    assert eventually(lambda: process.num_fds() <= before + SPARE_DESCRIPTORS, PATIENCE_S)


def serves(daemon: DaemonProcess) -> None:
    """A good client gets its answer."""
    with daemon.client(timeout_s=PATIENCE_S, retries=0) as client:
        assert (1, 4) == client.infer(X).outputs.shape


def peak_mib(daemon: DaemonProcess) -> float:
    """The most memory that the daemon ever held."""
    status = Path(f"/proc/{daemon.process.pid}/status").read_text(encoding="ascii")
    return float(status.split("VmHWM:")[1].split()[0]) / 1024


def rejected(daemon: DaemonProcess) -> dict[str, int]:
    """Refusals by reason."""
    with daemon.client(timeout_s=PATIENCE_S) as client:
        counts: dict[str, int] = client.stats().rejected
    return counts


def raw(daemon: DaemonProcess) -> socket.socket:
    """A bare connection to the inference socket."""
    connection = socket.socket(socket.AF_UNIX)
    # With a timeout it would not wait for room in the backlog.
    connection.connect(daemon.endpoint.removeprefix("ipc://"))
    connection.settimeout(PATIENCE_S)
    return connection


@pytest.fixture
def dealer(daemon: DaemonProcess) -> Iterator[zmq.Socket[bytes]]:
    """A client that knows no manners."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as made:
        made.linger = 0
        made.rcvtimeo = int(PATIENCE_S * 1e3)
        made.connect(daemon.endpoint)
        yield made


anything = st.binary(max_size=200)
nearly = st.sampled_from([*INFER, b"OIPZ1", b"STATS", b"META", b"CANCEL", b"OPEN", b"PUSH", b"CLOSE", b"{}", b""])


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(messages=st.lists(st.lists(anything | nearly, min_size=1, max_size=6), min_size=1, max_size=5))
def test_any_garbage_leaves_it_serving(dealer: zmq.Socket[bytes], messages: list[list[bytes]]) -> None:
    """Whatever frames come, the same connection still gets an answer to a good question."""
    for message in messages:
        dealer.send_multipart(message)
    dealer.send_multipart([b"OIPZ1", b"LIVE", b'{"id":"the good one"}'])
    while b"the good one" not in dealer.recv_multipart()[2]:
        pass


@settings(max_examples=20)
@given(garbage=st.binary(min_size=1, max_size=300))
def test_any_bytes_below_the_protocol_leave_it_serving(daemon: DaemonProcess, garbage: bytes) -> None:
    """Not even ZeroMQ has to be spoken."""
    with raw(daemon) as connection, suppress(OSError):
        connection.sendall(garbage)


@pytest.mark.parametrize(
    ("reason", "frames"),
    [
        ("header", [b"OIPZ1", b"INFER", b"[" * 40_000]),
        ("header", [b"OIPZ1", b"INFER", b'{"id":"\xff\xfe"}']),
        ("header", [b"OIPZ1", b"LIVE", b"\xc3\x28"]),
        ("frames", [b"OIPZ1", b"INFER", GOOD, *[b"x"] * 8000]),
        ("frames", [b"OIPZ1"]),
        ("size", [b"OIPZ1", b"INFER", GOOD, *[bytes(80_000)] * 4]),
        ("size", [b"OIPZ1", b"INFER", b" " * (DEFAULT_LIMITS.header_bytes + 1), X.tobytes()]),
        ("version", [b"OIPZ2", b"INFER", GOOD]),
        ("type", [b"OIPZ1", b"STEAL", b"{}"]),
        ("binary_size", [*INFER[:3], b"short"]),
    ],
)
def test_what_breaks_the_protocol_is_refused_and_counted(
    daemon: DaemonProcess, dealer: zmq.Socket[bytes], reason: str, frames: list[bytes]
) -> None:
    """Deep JSON, wrong UTF-8, too many frames and too large ones: each answered, each under its reason."""
    before = rejected(daemon)[reason]
    dealer.send_multipart(frames)
    assert b"ERR" == dealer.recv_multipart()[1]
    assert before + 1 == rejected(daemon)[reason]


def test_a_frame_above_the_limit_ends_its_connection(daemon: DaemonProcess) -> None:
    """The limit follows from the bundle's input, and libzmq holds it before a byte of the frame is kept."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as sender:
        sender.linger = 0
        monitor = sender.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        sender.connect(daemon.endpoint)
        sender.send_multipart([*INFER[:3], bytes(1 << 20)])
        assert monitor.poll(int(PATIENCE_S * 1e3))
        sender.disable_monitor()
        monitor.close()


@pytest.mark.parametrize(
    "message",
    [
        [*INFER[:3], bytes(80_000)],
        [*INFER[:3], *[bytes(20_000)] * 13],
        [*INFER[:3], *[b"x"] * 2000],
        INFER,
    ],
    ids=["the largest frame", "the most frames", "too many frames", "good requests"],
)
def test_a_flood_leaves_others_their_turn_and_the_memory_bounded(
    daemon: DaemonProcess, capsys: pytest.CaptureFixture[str], message: list[bytes]
) -> None:
    """Several clients send as fast as they can and read nothing; peak memory is reported."""
    with zmq.Context() as context, ExitStack() as sockets:
        flooders = [sockets.enter_context(context.socket(zmq.DEALER)) for _ in range(8)]
        for flooder in flooders:
            flooder.linger = 0
            flooder.connect(daemon.endpoint)
        until_s = time.monotonic() + 2
        while time.monotonic() < until_s:
            for flooder in flooders:
                with suppress(zmq.Again):
                    flooder.send_multipart(message, zmq.NOBLOCK)
        serves(daemon)
    with capsys.disabled():
        print(f" [peak {peak_mib(daemon):.0f} MiB] ", end="")


def test_a_client_that_never_reads_is_left_behind(daemon: DaemonProcess) -> None:
    """Its replies fill what is kept for it; what no longer fits is counted, and others do not wait."""
    with daemon.client(timeout_s=PATIENCE_S) as client:
        before = client.stats().undelivered
        slow: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.DEALER)
        slow.linger, slow.rcvhwm, slow.rcvbuf = 0, 1, 4096
        slow.connect(daemon.endpoint)
        try:

            def overflows() -> bool:
                with suppress(zmq.Again):
                    for _ in range(500):
                        slow.send_multipart([b"OIPZ1", b"META", b"{}"], zmq.NOBLOCK)
                return client.stats().undelivered > before

            assert eventually(overflows, PATIENCE_S)
        finally:
            slow.close()


def test_half_open_connections_are_closed(daemon: DaemonProcess) -> None:
    """Who says nothing loses the connection when the time for the handshake is over."""
    with ExitStack() as connections:
        silent = [connections.enter_context(raw(daemon)) for _ in range(50)]
        serves(daemon)
        assert HANDSHAKE_MS < PATIENCE_S * 1e3
        for connection in silent:
            while connection.recv(4096):
                pass  # the daemon's own greeting


def test_two_thousand_connections_leave_nothing_behind(daemon: DaemonProcess) -> None:
    """While they stand others are served; once they are gone, so are their descriptors, as behind every test here."""
    soft, hard = resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE)
    room = 2000 if hard == resource.RLIM_INFINITY or hard > 3000 else hard - 200
    resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE, (max(soft, room + 200), hard))
    own_soft, own_hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(own_hard, room + 1000), own_hard))
    try:
        with ExitStack() as connections:
            for _ in range(room):
                connections.enter_context(raw(daemon))
            serves(daemon)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (own_soft, own_hard))


def test_a_client_that_dies_in_the_middle_of_its_requests(daemon: DaemonProcess) -> None:
    """Its work is done or dropped; nobody waits for it."""
    command = [sys.executable, "-c", DYING_CLIENT, daemon.endpoint, *(frame.hex() for frame in INFER)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as client:
        assert client.stdout is not None
        assert b"sent\n" == client.stdout.readline()
        client.kill()
    serves(daemon)
    with daemon.client(timeout_s=PATIENCE_S) as good:
        assert eventually(lambda: good.stats().queue_depth == 0, PATIENCE_S)


def test_a_process_that_was_stopped_for_5_s_goes_on(daemon: DaemonProcess) -> None:
    """What was sent meanwhile is answered as ever: a timeout counts from when the daemon takes a request."""
    hasty = json.loads(GOOD) | {"parameters": {"timeout": 4_000_000}}
    with zmq.Context() as context, context.socket(zmq.DEALER) as client:
        client.linger = 0
        client.rcvtimeo = int(PATIENCE_S * 1e3)
        client.connect(daemon.endpoint)
        client.send_multipart([b"OIPZ1", b"LIVE", b"{}"])
        client.recv_multipart()
        daemon.process.send_signal(signal.SIGSTOP)
        # A thread that had not stopped yet would take a request, whose time then runs.
        tasks = Path(f"/proc/{daemon.process.pid}/task")
        assert eventually(lambda: all("State:\tT" in (task / "status").read_text() for task in tasks.iterdir()))
        for _ in range(20):
            client.send_multipart([*INFER[:2], json.dumps(hasty).encode(), INFER[3]])
        time.sleep(5)
        daemon.process.send_signal(signal.SIGCONT)
        assert [b"OK"] * 20 == [client.recv_multipart()[1] for _ in range(20)]


def test_a_full_disk_keeps_it_serving(
    small_bundle_folder: Path, nearly_profiled: Callable[..., Path], tmp_path: Path
) -> None:
    """Background profiling fails to write its tables; the daemon serves on from the estimate.

    No file of the daemon or its profiler may grow by a byte, which is what a full disk amounts to.
    """
    nearly_profiled(tmp_path / "state")
    config = {"bundle": str(small_bundle_folder), **CONFIG, "device": {"profile": "generic-x86_64"}}
    daemon = DaemonProcess(config, state=tmp_path / "state", sysroot=small_bundle_folder, timeout_s=PATIENCE_S)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with daemon:
        for process in [*psutil.Process(daemon.process.pid).children(), psutil.Process(daemon.process.pid)]:
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (0, hard))

        def status() -> Status:
            with daemon.control() as control:
                return msgspec.convert(control.call("status"), Status)

        assert eventually(lambda: not status().profiling, PATIENCE_S)
        assert status().tables.estimate
        serves(daemon)
        assert 0 == daemon.stop()
    assert (soft, hard) == resource.getrlimit(resource.RLIMIT_FSIZE)
