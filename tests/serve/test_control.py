"""The control socket."""

from __future__ import annotations

import json
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
import zmq

from adaspring.errors import ConfigError
from adaspring.serve.control import ControlServer
from adaspring.serve.endpoint import CONTROL_MODE, claim

if TYPE_CHECKING:
    from tests.serve.conftest import RawClient

Connect: TypeAlias = "Callable[..., RawClient]"


@pytest.fixture
def endpoint(socket_folder: Path) -> str:
    """Where the server listens."""
    return f"ipc://{socket_folder}/control.sock"


@pytest.fixture
def server(endpoint: str) -> Iterator[ControlServer]:
    """A control server, to be waited in by the test."""
    with claim(endpoint, mode=CONTROL_MODE) as claimed, zmq.Context() as context:
        made = ControlServer(context, claimed)
        yield made
        made.close()


def answer(client: RawClient) -> Any:
    """What the server sent back."""
    return json.loads(client.socket.recv_multipart()[-1])


def test_bind_that_fails_closes_the_server(socket_folder: Path) -> None:
    """The error surfaces where the server is made, and nothing is left open."""
    folder = socket_folder / "gone"
    with zmq.Context() as context, claim(f"ipc://{folder}/control.sock", mode=CONTROL_MODE) as claimed:
        shutil.rmtree(folder)
        with pytest.raises(ConfigError, match="cannot bind"):
            ControlServer(context, claimed)


@pytest.mark.parametrize("kind", [zmq.REQ, zmq.DEALER])
def test_call_is_handed_out_and_answered(server: ControlServer, endpoint: str, raw_client: Connect, kind: int) -> None:
    """Command and arguments come in, a result or a refusal goes out."""
    client = raw_client(endpoint, kind)
    client.send([b'{"command":"pin","arguments":{"subnet":"c16"}}'])
    request = server.wait(5)
    assert request is not None
    assert ("pin", {"subnet": "c16"}) == (request.command, request.arguments)
    server.reply(request, {"generation": 2})
    assert answer(client) == {"ok": True, "result": {"generation": 2}}
    client.send([b'{"command":"stauts"}'])
    request = server.wait(5)
    assert request is not None
    server.refuse(request, "NOT_FOUND", "did you mean status?")
    assert answer(client) == {"ok": False, "code": "NOT_FOUND", "error": "did you mean status?"}


@pytest.mark.parametrize(
    "frames",
    [
        [b"status"],
        [b"{}"],
        [b'{"command":3}'],
        [b'{"command":"status","args":{}}'],
        [b'{"command":"status"}', b"more"],
        [b"[" * 1000],
        [b"\xff"],
        [b""],
    ],
)
def test_malformed_call_is_answered_and_waiting_goes_on(
    server: ControlServer, endpoint: str, raw_client: Connect, frames: list[bytes]
) -> None:
    """The caller learns what is wrong, the server sees only good calls."""
    bad, good = raw_client(endpoint), raw_client(endpoint)
    bad.send(frames)
    assert server.wait(0.05) is None
    good.send([b'{"command":"status"}'])
    request = server.wait(5)
    assert request is not None
    assert ("status", {}) == (request.command, request.arguments)
    refusal = answer(bad)
    assert (False, "INVALID_ARG") == (refusal["ok"], refusal["code"])


def test_call_that_is_too_long_costs_only_its_sender(server: ControlServer, endpoint: str, raw_client: Connect) -> None:
    """The connection is closed before the frame is held in memory."""
    raw_client(endpoint).send([b" " * 70_000])
    raw_client(endpoint).send([b'{"command":"status"}'])
    request = server.wait(5)
    assert request is not None
    assert request.command == "status"


def test_caller_that_left_does_not_disturb(server: ControlServer, endpoint: str, raw_client: Connect) -> None:
    """A reply without a receiver is dropped."""
    client = raw_client(endpoint)
    client.send([b'{"command":"status"}'])
    request = server.wait(5)
    assert request is not None
    client.socket.close()
    server.wait(0.05)
    server.reply(request, None)


def test_time_out_ends_the_wait(server: ControlServer) -> None:
    """Nothing came, also when there was no time to wait."""
    assert server.wait(0.01) is None
    assert server.wait(0) is None


def test_wake_from_another_thread_ends_the_wait(server: ControlServer) -> None:
    """The control thread can be called to work before its time."""
    timer = threading.Timer(0.02, server.wake)
    timer.start()
    assert server.wait(60) is None
    timer.join()


def test_wake_before_the_wait_is_not_lost(server: ControlServer) -> None:
    """Whoever wakes a thread that is just about to sleep is heard."""
    server.wake()
    assert server.wait(60) is None


def test_wake_from_a_signal_handler_ends_the_wait(server: ControlServer) -> None:
    """A signal that arrives during the wait ends it."""
    previous = signal.signal(signal.SIGALRM, lambda _number, _frame: server.wake())
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        assert server.wait(60) is None
    finally:
        signal.signal(signal.SIGALRM, previous)
