"""Claiming endpoints: nobody's socket is stolen."""

from __future__ import annotations

import fcntl
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import zmq

from adaspring.errors import AlreadyRunningError, ConfigError
from adaspring.serve.endpoint import CONTROL_MODE, DATA_MODE, MAX_PATH_BYTES, claim


@contextmanager
def router() -> Iterator[zmq.Socket[bytes]]:
    """A socket in a context of its own."""
    with zmq.Context() as context, context.socket(zmq.ROUTER) as made:
        yield made


def mode_of(path: Path) -> int:
    """Permission bits."""
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("mode", [DATA_MODE, CONTROL_MODE])
@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_mode_does_not_depend_on_the_umask(socket_folder: Path, mode: int, umask: int) -> None:
    """The socket has the mode asked for, and the umask is as before."""
    path = socket_folder / "infer.sock"
    previous = os.umask(umask)
    try:
        with claim(f"ipc://{path}", mode=mode) as claimed, router() as made:
            claimed.bind(made)
            assert mode_of(path) == mode
    finally:
        assert os.umask(previous) == umask


def test_second_claim_names_the_holder_and_leaves_it_alone(socket_folder: Path) -> None:
    """The loser gets an error with the process and the path; the winner's socket still takes connections."""
    path = socket_folder / "infer.sock"
    with claim(f"ipc://{path}", mode=DATA_MODE) as first, router() as made:
        first.bind(made)
        with pytest.raises(AlreadyRunningError, match=rf"process {os.getpid()}\).*{path}"):
            claim(f"ipc://{path}", mode=DATA_MODE)
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(str(path))


def test_socket_of_a_killed_daemon_is_taken_over(socket_folder: Path) -> None:
    """The kernel gave the lock back, so the file is stale and makes room."""
    path = socket_folder / "infer.sock"
    script = (
        "import os, signal, sys, zmq\n"
        "from adaspring.serve.endpoint import claim\n"
        "held = claim(f'ipc://{sys.argv[1]}', mode=0o660)\n"
        "held.bind(zmq.Context().socket(zmq.ROUTER))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(path)], check=False, timeout=20)
    assert path.is_socket()
    with claim(f"ipc://{path}", mode=DATA_MODE) as taken, router() as made:
        taken.bind(made)
        assert path.is_socket()


def test_live_socket_without_a_lock_is_not_stolen(socket_folder: Path) -> None:
    """Whoever listens keeps the socket, also if the lock file was swept away."""
    path = socket_folder / "infer.sock"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        with pytest.raises(AlreadyRunningError, match="another program listens"):
            claim(f"ipc://{path}", mode=DATA_MODE)
    with claim(f"ipc://{path}", mode=DATA_MODE):
        assert not path.exists()


def test_release_leaves_nothing_behind(socket_folder: Path) -> None:
    """Socket and lock are gone, and the endpoint can be claimed again; releasing twice does nothing."""
    claimed = claim(f"ipc://{socket_folder}/infer.sock", mode=DATA_MODE)
    with router() as made:
        claimed.bind(made)
    claimed.release()
    claimed.release()
    assert list(socket_folder.iterdir()) == []
    claim(f"ipc://{socket_folder}/infer.sock", mode=DATA_MODE).release()


def test_missing_folder_is_made(socket_folder: Path) -> None:
    """Its mode keeps others out, whatever the umask is."""
    folder = socket_folder / "run" / "adaspring"
    previous = os.umask(0)
    try:
        with claim(f"ipc://{folder}/infer.sock", mode=DATA_MODE):
            assert mode_of(folder) == 0o750
    finally:
        os.umask(previous)


@pytest.mark.parametrize(
    ("endpoint", "words"),
    [
        ("tcp://127.0.0.1:5555", "CURVE"),
        ("infer.sock", "absolute path"),
        ("ipc://infer.sock", "absolute path"),
        ("ipc://@abstract", "absolute path"),
        ("ipc:///dev/null/infer.sock", "folder"),
        (f"ipc:///tmp/{'x' * MAX_PATH_BYTES}", "107"),
        (f"ipc:///tmp/{'ü' * 55}", "107"),
    ],
)
def test_endpoint_that_cannot_be_used_is_refused(endpoint: str, words: str) -> None:
    """A person reads what is wrong and what would be right."""
    with pytest.raises(ConfigError, match=words):
        claim(endpoint, mode=DATA_MODE)


def test_longest_path_that_the_kernel_takes_is_taken(socket_folder: Path) -> None:
    """The limit is the kernel's, to the byte."""
    name = "x" * (MAX_PATH_BYTES - len(str(socket_folder)) - 1)
    with claim(f"ipc://{socket_folder}/{name}", mode=DATA_MODE) as claimed, router() as made:
        claimed.bind(made)


def test_file_that_is_no_socket_is_not_removed(socket_folder: Path) -> None:
    """A mistyped path costs nobody a file, and the lock is given back."""
    path = socket_folder / "precious.txt"
    path.write_text("precious")
    with pytest.raises(ConfigError, match="no socket"):
        claim(f"ipc://{path}", mode=DATA_MODE)
    assert path.read_text() == "precious"
    path.unlink()
    claim(f"ipc://{path}", mode=DATA_MODE).release()


def test_lock_that_is_a_link_is_refused(socket_folder: Path) -> None:
    """Nobody makes the daemon write its process id elsewhere."""
    (socket_folder / "infer.sock.lock").symlink_to(socket_folder / "victim")
    with pytest.raises(ConfigError, match="lock"):
        claim(f"ipc://{socket_folder}/infer.sock", mode=DATA_MODE)
    assert not (socket_folder / "victim").exists()


def test_lock_file_removed_by_a_daemon_that_ended_is_not_trusted(
    socket_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between opening the file and locking it the former holder may have removed it: then the lock is tried anew."""
    lock_path = socket_folder / "infer.sock.lock"
    flock = fcntl.flock
    removed: list[int] = []

    def flock_late(fd: int, operation: int) -> None:
        if not removed:
            lock_path.unlink()
            removed.append(fd)
        flock(fd, operation)

    monkeypatch.setattr(fcntl, "flock", flock_late)
    with claim(f"ipc://{socket_folder}/infer.sock", mode=DATA_MODE):
        assert lock_path.read_text() == f"{os.getpid()}\n"
        with pytest.raises(AlreadyRunningError):
            claim(f"ipc://{socket_folder}/infer.sock", mode=DATA_MODE)


def test_bind_that_fails_is_a_config_error(socket_folder: Path) -> None:
    """What libzmq says reaches the person who configured the endpoint."""
    folder = socket_folder / "gone"
    with claim(f"ipc://{folder}/infer.sock", mode=DATA_MODE) as claimed, router() as made:
        (folder / "infer.sock.lock").unlink()
        folder.rmdir()
        with pytest.raises(ConfigError, match=r"cannot bind ipc://.*infer\.sock"):
            claimed.bind(made)
