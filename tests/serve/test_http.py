"""The HTTP face in front of a toy plane: heads, and clients that are slow, vague or in a hurry."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adaspring.serve.http import connection

if TYPE_CHECKING:
    from tests.conftest import RunningPlane, ToySubnet


def body(**changes: Any) -> bytes:
    """A good request, but for the changes of its tensor."""
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 2, 3], "data": [1, -2, 0.5, 0, 0, 0]}
    return json.dumps({"id": "7", "inputs": [tensor | changes]}).encode()


def post(content: bytes) -> bytes:
    """It as a request of HTTP."""
    return HEAD.replace(str(len(BODY)).encode(), str(len(content)).encode()) + content


BODY = body()
HEAD = b"POST /v2/models/toy/infer HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(BODY)
LIVE = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n"
#: Bytes of who sends one at a time, and how long it waits between them, in seconds: in all longer than any test.
SLOW_BYTES, SLOW_S = 4000, 0.02


class Peer:
    """A bare connection."""

    def __init__(self, plane: RunningPlane) -> None:
        """Connect."""
        assert plane.http is not None
        host, port = plane.http.address.split(":")
        self.socket = socket.create_connection((host, int(port)), timeout=10)
        self._received = b""

    def receive(self) -> tuple[int, Any, bytes]:
        """Status, JSON and head of the next answer."""
        while b"\r\n\r\n" not in self._received:
            self._receive_more()
        head, _, self._received = self._received.partition(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        while len(self._received) < length:
            self._receive_more()
        body, self._received = self._received[:length], self._received[length:]
        return int(head.split()[1]), json.loads(body) if body else None, head

    def ask(self, text: bytes) -> tuple[int, Any, bytes]:
        """Send, and receive the next answer."""
        self.socket.sendall(text)
        return self.receive()

    def is_closed(self) -> bool:
        """Wait until the server closes; whether nothing came before."""
        with suppress(ConnectionResetError):
            return self.socket.recv(1) == b""
        return True

    def _receive_more(self) -> None:
        more = self.socket.recv(1 << 16)
        assert more
        self._received += more


@pytest.fixture
def plane(serve_toy: Callable[..., RunningPlane]) -> RunningPlane:
    """Serves HTTP too."""
    return serve_toy(http=True)


@pytest.fixture
def connect(plane: RunningPlane) -> Iterator[Callable[[], Peer]]:
    """Connects; behind the test, whatever it did, who asks is answered, and no connection is left."""
    peers: list[Peer] = []

    def make() -> Peer:
        peers.append(Peer(plane))
        return peers[-1]

    yield make
    assert make().ask(HEAD + BODY)[0] == HTTPStatus.OK
    for peer in peers:
        peer.socket.close()
    assert plane.http is not None
    until_s = time.monotonic() + 10
    while plane.http.connections:
        assert time.monotonic() < until_s
        time.sleep(0.005)


def trickle(peer: Peer, text: bytes) -> int:
    """Send bytes one by one until the other side has had enough; how many there were."""
    for sent in range(len(text)):
        try:
            peer.socket.sendall(text[sent : sent + 1])
        except OSError:
            return sent
        time.sleep(SLOW_S)
    return len(text)


def test_requests_follow_each_other_on_a_connection(connect: Callable[[], Peer]) -> None:
    """Also those that are sent before the answer to the one before came."""
    peer = connect()
    peer.socket.sendall(LIVE + HEAD + BODY + LIVE)
    assert [(200, None), (200, [1.0, -2.0, 0.5]), (200, None)] == [
        (status, answer and answer["outputs"][0]["data"]) for status, answer, _ in (peer.receive() for _ in range(3))
    ]


def test_a_connection_ends_where_its_client_wants_that(connect: Callable[[], Peer]) -> None:
    """By the field, or by speaking HTTP/1.0."""
    for text in (
        LIVE.replace(b"Host", b"Connection: close\r\nHost"),
        LIVE.replace(b"1.1", b"1.0"),
    ):
        peer = connect()
        status, _, head = peer.ask(text)
        assert (200, True) == (status, b"Connection: close" in head)
        assert peer.is_closed()


def test_who_asks_first_whether_to_send_a_body_is_told(connect: Callable[[], Peer]) -> None:
    """As curl does with a large one."""
    peer = connect()
    peer.socket.sendall(HEAD.replace(b"Host", b"Expect: 100-continue\r\nHost"))
    assert peer.socket.recv(1 << 10) == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert peer.ask(BODY)[0] == HTTPStatus.OK


def test_a_head_that_comes_byte_by_byte_is_cut_off(
    connect: Callable[[], Peer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However alive the connection seems: the time is that of the whole head, and others are served meanwhile."""
    monkeypatch.setattr(connection, "HEAD_S", 0.3)
    slow = connect()
    assert trickle(slow, LIVE[:-4] + b"X" * SLOW_BYTES) < SLOW_BYTES
    assert slow.is_closed()


def test_a_body_that_comes_byte_by_byte_is_cut_off(
    connect: Callable[[], Peer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So is one that never comes, and one whose client leaves."""
    monkeypatch.setattr(connection, "BODY_S", 0.3)
    slow, silent, leaving = connect(), connect(), connect()
    for peer in (slow, silent, leaving):
        peer.socket.sendall(HEAD.replace(str(len(BODY)).encode(), str(SLOW_BYTES).encode()))
    leaving.socket.close()
    assert trickle(slow, BODY + b" " * SLOW_BYTES) < SLOW_BYTES
    assert slow.is_closed()
    assert silent.is_closed()


def test_a_silent_connection_is_closed(connect: Callable[[], Peer], monkeypatch: pytest.MonkeyPatch) -> None:
    """Before its first request and behind its last one."""
    monkeypatch.setattr(connection, "HEAD_S", 0.3)
    silent, served = connect(), connect()
    assert served.ask(LIVE)[0] == HTTPStatus.OK
    assert silent.is_closed()
    assert served.is_closed()


def test_a_client_that_does_not_read_its_answers_is_cut_off(
    connect: Callable[[], Peer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it would have to read piles up on its side of the connection, not in the daemon."""
    monkeypatch.setattr(connection, "LEAVE_S", 0.3)
    deaf = connect()
    deaf.socket.settimeout(60)
    deaf.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    with pytest.raises(OSError, match=r"reset|Broken"):
        deaf.socket.sendall((b"GET /" + b"x" * 2000 + b" HTTP/1.1\r\nHost: x\r\n\r\n") * 20_000)


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (400, b"\x00\xff\r\n\r\n"),
        (400, b"GET /v2 HTTP/2.0\r\nHost: x\r\n\r\n"),
        (400, b"GET /v2 HTTP/1.1\r\n\r\n"),
        (400, b"GET /v2 HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n"),
        (400, b"GET /v2 HTTP/1.1\r\nHost : x\r\n\r\n"),
        (400, b"GET /v2 HTTP/1.1\r\n folded: y\r\nHost: x\r\n\r\n"),
        (400, HEAD.replace(b"Host", b"Content-Length: 3\r\nHost") + BODY),
        (400, HEAD.replace(b"Content-Length: ", b"Content-Length: -") + BODY),
        (400, HEAD.replace(b"Content-Length: ", b"Content-Length: \xb2") + BODY),
        (411, HEAD.replace(b"Host", b"Transfer-Encoding: chunked\r\nHost") + b"5\r\n"),
        (411, b"POST /v2/repository/index HTTP/1.1\r\nHost: x\r\n\r\n"),
        (413, HEAD.replace(b"Content-Length: ", b"Content-Length: 99999999") + bytes(100_000)),
        (415, HEAD.replace(b"Host", b"Content-Encoding: gzip\r\nHost") + BODY),
        (431, b"GET /v2 HTTP/1.1\r\nHost: x\r\nX: " + b"x" * connection.HEAD_BYTES + b"\r\n\r\n"),
        (501, HEAD.replace(b"Host", b"Transfer-Encoding: gzip\r\nHost") + BODY),
    ],
)
def test_what_cannot_be_told_apart_is_refused_and_ends_the_connection(
    plane: RunningPlane, connect: Callable[[], Peer], status: int, text: bytes
) -> None:
    """The answer arrives though the rest was not read, and the refusal is counted."""
    before = plane.plane.statistics().rejected["http"]
    peer = connect()
    told, answer, head = peer.ask(text)
    assert (status, True, True) == (told, bool(answer["error"]), b"Connection: close" in head)
    peer.socket.shutdown(socket.SHUT_WR)
    assert peer.is_closed()
    assert before + 1 == plane.plane.statistics().rejected["http"]


@pytest.mark.parametrize(
    ("reason", "status", "text"),
    [
        ("http", 405, LIVE.replace(b"GET", b"DELETE").replace(b"Host", b"Content-Length: 0\r\nHost")),
        ("http", 404, LIVE.replace(b"live", b"dead")),
        ("header", 400, post(b"[" * 1000)),
        ("binary_size", 400, post(body(parameters={"binary_data_size": 9}))),
        ("shape", 400, post(body(shape=[1, 3, 2]))),
    ],
)
def test_other_refusals_are_counted_by_their_reason(
    plane: RunningPlane, connect: Callable[[], Peer], reason: str, status: int, text: bytes
) -> None:
    """Those that the face finds and those that the data plane finds alike; the connection goes on."""
    peer = connect()
    assert status == peer.ask(text)[0]
    assert {reason: 1} == {name: count for name, count in plane.plane.statistics().rejected.items() if count}
    assert peer.ask(LIVE)[0] == HTTPStatus.OK


def test_a_server_that_ends_leaves_nobody_waiting(
    serve_toy: Callable[..., RunningPlane], toy_subnet: type[ToySubnet]
) -> None:
    """Neither connections that stand nor the one whose answer is not there yet."""
    subnet = toy_subnet(held=True)
    plane = serve_toy(subnet, http=True)
    assert plane.http is not None
    standing, waiting = Peer(plane), Peer(plane)
    assert standing.ask(LIVE)[0] == HTTPStatus.OK
    waiting.socket.sendall(HEAD + BODY)
    assert subnet.started.acquire(timeout=10)
    plane.http.close()
    for peer in (standing, waiting):
        assert peer.is_closed()
        peer.socket.close()
    subnet.permits.release()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.binary(max_size=200) | st.binary(max_size=60).map(lambda more: LIVE[:-2] + more))
def test_any_bytes_are_answered_or_cut_off(connect: Callable[[], Peer], text: bytes) -> None:
    """As a head of their own and as fields of one: where anything comes back, it is HTTP."""
    peer = connect()
    peer.socket.sendall(text + b"\r\n\r\n")
    peer.socket.shutdown(socket.SHUT_WR)
    received = b""
    with suppress(ConnectionResetError):
        while more := peer.socket.recv(1 << 16):
            received += more
    assert re.fullmatch(rb"(HTTP/1\.1 \d{3} [^\0]*)?", received)


def test_only_the_head_answers_head(connect: Callable[[], Peer]) -> None:
    """Whatever follows it would be taken for the next answer."""
    peer = connect()
    peer.socket.sendall(LIVE.replace(b"GET", b"HEAD").replace(b"Host", b"Content-Length: 0\r\nHost") + b"\0\r\n\r\n")
    received = b""
    while more := peer.socket.recv(1 << 16):
        received += more
    refused, _, rest = received.partition(b"\r\n\r\n")
    assert [b"405", b"400"] == [refused.split()[1], rest.split()[1]]
    assert b"error" not in refused + rest.partition(b"\r\n\r\n")[0]
