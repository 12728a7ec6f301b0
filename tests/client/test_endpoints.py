"""Where the client looks for the daemon."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from adaspring.client import default_endpoint, endpoints
from adaspring.client.endpoints import no_answer
from adaspring.errors import ConnectError, TimedOutError


def test_daemon_of_the_system_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where its socket exists it is used, else the one of the user, else again the system's, which will be missed."""
    monkeypatch.setattr(endpoints, "_SYSTEM_FOLDER", tmp_path)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/7")
    assert default_endpoint() == "ipc:///run/user/7/adaspring/infer.sock"
    (tmp_path / "events.sock").touch()
    assert default_endpoint("events.sock") == f"ipc://{tmp_path}/events.sock"
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert default_endpoint() == f"ipc://{tmp_path}/infer.sock"


def test_silence_is_told_apart_from_absence(socket_folder: Path) -> None:
    """A missing socket, a dead one and a live one each have their error."""
    path = socket_folder / "infer.sock"
    endpoint = f"ipc://{path}"
    assert "No such file" in str(no_answer(endpoint, 1.0))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        assert "Connection refused" in str(no_answer(endpoint, 1.0))
        listener.listen()
        assert (TimedOutError, ConnectError) == (type(no_answer(endpoint, 1.0)), type(no_answer(endpoint + "x", 1.0)))
