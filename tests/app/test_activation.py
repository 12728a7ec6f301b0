"""The inference socket as a service manager hands it over: it outlives the daemon, and what waits in it is answered."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adaspring.app.activation import listening_socket
from adaspring.cli.process import to_toml
from adaspring.client import Client, ControlClient
from adaspring.errors import ClientError, ConfigError

X = np.zeros((3, 32), np.float32)
#: As systemd starts a service: the socket is descriptor 3, and the variables name the process that will run.
LAUNCH = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
os.execv(sys.executable, [sys.executable, "-m", "adaspring.cli.adaspringd", "--config", sys.argv[2]])
"""


@pytest.fixture
def listener(socket_folder: Path) -> Iterator[socket.socket]:
    """The manager's socket."""
    folder = socket_folder / "run"
    folder.mkdir()
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(folder / "infer.sock"))
        made.listen()
        yield made


@contextmanager
def activated(listener: socket.socket, folder: Path, bundle: Path, **paths: str) -> Iterator[subprocess.Popen[bytes]]:
    """A daemon that is handed the socket."""
    config: dict[str, Any] = {
        "bundle": str(bundle),
        "device": {"profile": "generic-x86_64", "background_profiling": False},
        "monitor": {"interval_s": 0.05},
        "paths": {"runtime": str(folder / "run"), "state": str(folder / "state"), **paths},
    }
    (folder / "adaspringd.toml").write_text(to_toml(config))
    fd = listener.fileno()
    command = [sys.executable, "-c", LAUNCH, str(fd), str(folder / "adaspringd.toml")]
    with subprocess.Popen(command, pass_fds=(fd,), stderr=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.terminate()


def test_what_waits_in_the_socket_is_answered(
    listener: socket.socket, socket_folder: Path, small_bundle_folder: Path
) -> None:
    """Frames sent before the daemon runs, and between two lives of it, are answered; its socket stays at the end."""
    path = socket_folder / "run" / "infer.sock"
    with Client(f"ipc://{path}", timeout_s=60, retries=0) as client, ThreadPoolExecutor(1) as executor:
        for _ in range(2):
            early = executor.submit(client.infer, X)
            with activated(listener, socket_folder, small_bundle_folder) as process:
                assert early.result().subnet
                process.terminate()
                assert 0 == process.wait()
            assert path.is_socket()


def began_after(control: ControlClient, before_s: float) -> bool:
    """Whether a daemon answers whose life began after another one's."""
    with suppress(ClientError):
        return time.monotonic() - float(control.call("status")["uptime_s"]) > before_s + 0.1
    return False


def test_reload_keeps_the_socket(listener: socket.socket, socket_folder: Path, small_bundle_folder: Path) -> None:
    """The same process begins anew with the same socket."""
    endpoint = f"ipc://{socket_folder}/run/infer.sock"
    with (
        activated(listener, socket_folder, small_bundle_folder) as process,
        Client(endpoint, timeout_s=60) as client,
        ControlClient(f"ipc://{socket_folder}/run/control.sock") as control,
    ):
        client.infer(X)
        before_s = time.monotonic() - control.call("status")["uptime_s"]
        control.call("reload")
        while not began_after(control, before_s):
            time.sleep(0.02)
        client.infer(X)
        assert process.poll() is None


def test_a_socket_elsewhere_is_refused(listener: socket.socket, socket_folder: Path, small_bundle_folder: Path) -> None:
    """A person must make unit and configuration agree."""
    with activated(listener, socket_folder, small_bundle_folder, runtime=str(socket_folder / "other")) as process:
        _, told = process.communicate()
    assert 78 == process.returncode
    assert b"ListenStream=" in told


@pytest.mark.parametrize("count", ["", "0", "2"])
def test_other_numbers_of_sockets_are_refused(count: str) -> None:
    """Only the inference socket can be handed over."""
    environment = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": count}
    with pytest.raises(ConfigError, match="inference socket alone"):
        listening_socket(environment, "/run/adaspring/infer.sock")


def test_what_is_meant_for_others_is_left_alone() -> None:
    """The variables of a parent that was activated reach its children too."""
    assert listening_socket({"LISTEN_PID": "1", "LISTEN_FDS": "1"}, "/run/adaspring/infer.sock") is None
    assert listening_socket({}, "/run/adaspring/infer.sock") is None
