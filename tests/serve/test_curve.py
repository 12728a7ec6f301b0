"""TCP with CURVE: who is on the list is served, and nobody else."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import zmq

from adaspring.client import Client
from adaspring.client.curve import CurveKeys, create_keys
from adaspring.errors import ConfigError, KeysError, TimedOutError
from adaspring.serve.curve import CurveListener, ListenerKeys

if TYPE_CHECKING:
    from tests.conftest import RunningPlane

X = np.ones((2, 3), dtype=np.float32)


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A folder with the daemon's keys, a friend's that are on the list, and a stranger's that are not."""
    for name in ("daemon", "friend", "stranger"):
        create_keys(tmp_path, name)
    clients = tmp_path / "clients"
    clients.mkdir()
    (clients / "friend.key").write_bytes((tmp_path / "friend.key").read_bytes())
    return tmp_path


def free_endpoint() -> str:
    """An address on this machine that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{probe.getsockname()[1]}"


def listener_keys(keys: Path, own: str = "daemon.key_secret", clients: str = "clients") -> ListenerKeys:
    """As a daemon loads them."""
    return ListenerKeys.load(keys / own, sorted((keys / clients).glob("*.key")))


@pytest.fixture
def plane(serve_toy: Callable[..., RunningPlane], keys: Path) -> tuple[RunningPlane, str]:
    """A data plane on ipc and on TCP."""
    endpoint = free_endpoint()

    def listener(context: zmq.Context[zmq.Socket[bytes]]) -> CurveListener:
        return CurveListener(context, endpoint, listener_keys(keys))

    return serve_toy(curve=listener), endpoint


def load(keys: Path, name: str) -> CurveKeys:
    """As a client does."""
    return CurveKeys.load(keys / f"{name}.key_secret", keys / "daemon.key")


def test_a_key_on_the_list_is_served_on_tcp(plane: tuple[RunningPlane, str], keys: Path) -> None:
    """And ipc beside it stays open to whom the file mode lets in, without keys."""
    running, endpoint = plane
    with Client(endpoint, curve=load(keys, "friend"), timeout_s=10) as over_tcp, Client(running.endpoint) as local:
        assert over_tcp.infer(X).subnet == local.infer(X).subnet


def test_everybody_else_gets_no_answer(plane: tuple[RunningPlane, str], keys: Path) -> None:
    """A key that is not listed, no security at all, a password, and a wrong idea of the daemon's key."""
    running, endpoint = plane
    friend = load(keys, "friend")
    impostor = CurveKeys(friend.public, friend.secret, load(keys, "stranger").public)
    for curve in (load(keys, "stranger"), None, impostor):
        with Client(endpoint, curve=curve, timeout_s=0.3, retries=0) as client, pytest.raises(TimedOutError):
            client.infer(X)
    with zmq.Context() as context, context.socket(zmq.DEALER) as plain:
        plain.linger = 0
        plain.plain_username, plain.plain_password = b"friend", b"secret"
        plain.connect(endpoint)
        plain.send_multipart([b"OIPZ1", b"LIVE", b"{}"])
        assert not plain.poll(300)
    with Client(running.endpoint) as client:
        assert client.stats().received == 1


@pytest.mark.parametrize(
    ("endpoint", "secret", "clients", "words"),
    [
        ("ipc:///tmp/x", "daemon.key_secret", "clients", "tcp://"),
        ("tcp://127.0.0.1:1", "none.key_secret", "clients", "adaspringctl keys"),
        ("tcp://127.0.0.1:1", "daemon.key", "clients", "no secret key"),
        ("tcp://127.0.0.1:1", "open.key_secret", "clients", "chmod 600"),
        ("tcp://127.0.0.1:1", "daemon.key_secret", "nobody", "nobody could connect"),
        ("tcp://127.0.0.1:1", "daemon.key_secret", "broken", "cannot be read"),
    ],
)
def test_tcp_without_sound_keys_is_refused(keys: Path, endpoint: str, secret: str, clients: str, words: str) -> None:
    """There is no way to serve TCP to anybody who asks."""
    (keys / "open.key_secret").write_bytes((keys / "daemon.key_secret").read_bytes())
    (keys / "open.key_secret").chmod(0o644)
    (keys / "broken").mkdir()
    (keys / "broken" / "x.key").write_text("no key")
    with zmq.Context() as context, pytest.raises(ConfigError, match=words):
        CurveListener(context, endpoint, listener_keys(keys, secret, clients))


def test_an_address_that_is_taken_is_refused(keys: Path) -> None:
    """The message says what may be wrong."""
    with socket.socket() as taken, zmq.Context() as context, context.socket(zmq.ROUTER) as router:
        taken.bind(("127.0.0.1", 0))
        endpoint = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        listener = CurveListener(context, endpoint, listener_keys(keys))
        try:
            with pytest.raises(ConfigError, match="port taken"):
                listener.bind(router)
        finally:
            listener.close()


def test_keys_are_made_once_and_kept_from_others(tmp_path: Path) -> None:
    """The secret has mode 0600 whatever the umask is; keys that exist are not overwritten."""
    public, secret = create_keys(tmp_path / "new", "board")
    assert (0o600, 0o644) == (secret.stat().st_mode & 0o777, public.stat().st_mode & 0o777)
    with pytest.raises(KeysError, match="exists"):
        create_keys(tmp_path / "new", "board")
    with pytest.raises(KeysError, match="no secret key"):
        CurveKeys.load(public, public)
    with pytest.raises(KeysError, match="adaspringctl keys"):
        CurveKeys.load(tmp_path / "none.key_secret", public)
