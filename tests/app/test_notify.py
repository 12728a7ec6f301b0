from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from adaspring.app.notify import Notifier

if TYPE_CHECKING:
    from tests.app.conftest import Manager


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, socket_folder: Path, make_manager: type[Manager]) -> Iterator[Manager]:
    """A manager at either kind of address."""
    made = make_manager(f"{socket_folder}/notify.sock" if request.param == "path" else f"@adaspring-test-{os.getpid()}")
    yield made
    made.leave()


@pytest.fixture
def without_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    """No systemd-python, installed or not."""
    monkeypatch.setitem(sys.modules, "systemd", None)
    monkeypatch.setitem(sys.modules, "systemd.daemon", None)


EVERY_LINE = ["READY=1", "STATUS=f32:c16: 92.1 %, 0.3 ms", "WATCHDOG=1", "STOPPING=1"]


def tell_everything(notifier: Notifier) -> None:
    """One of each kind."""
    notifier.ready()
    notifier.status("f32:c16: 92.1 %, 0.3 ms")
    notifier.watchdog()
    notifier.stopping()


@pytest.mark.usefixtures("without_systemd")
def test_plain_writer_speaks_to_the_socket(manager: Manager) -> None:
    """Each change of state is one datagram, on a path and in the abstract namespace."""
    tell_everything(Notifier.from_environment({"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "1"}))
    assert EVERY_LINE == manager.heard()


def test_systemd_python_speaks_to_the_socket(manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the library is installed it sends the same lines, and a manager that went away harms as little."""
    pytest.importorskip("systemd.daemon", reason="systemd-python is not installed", exc_type=ImportError)
    # libsystemd reads the environment of the process.
    monkeypatch.setenv("NOTIFY_SOCKET", manager.name)
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "1"})
    tell_everything(notifier)
    assert EVERY_LINE == manager.heard()
    manager.leave()
    tell_everything(notifier)


@pytest.mark.usefixtures("without_systemd")
def test_manager_that_went_away_does_no_harm(manager: Manager) -> None:
    """The service goes on without anybody to tell."""
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "1"})
    manager.leave()
    tell_everything(notifier)


@pytest.mark.usefixtures("without_systemd")
def test_manager_that_does_not_read_holds_nobody(manager: Manager) -> None:
    """With its queue full a message is given up after a moment, and nothing waits for ever."""
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": manager.name})
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as flood:
        address = "\0" + manager.name[1:] if manager.name.startswith("@") else manager.name
        with suppress(BlockingIOError):
            while True:
                flood.sendto(b"STATUS=busy", address)
        notifier.ready()
    assert "READY=1" not in manager.heard()
    notifier.ready()
    assert ["READY=1"] == manager.heard()


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": ""}, {"WATCHDOG_USEC": "1000000"}])
def test_without_a_socket_nothing_is_told(environment: dict[str, str]) -> None:
    """Started by hand there is no manager, and no watchdog either."""
    notifier = Notifier.from_environment(environment)
    tell_everything(notifier)
    assert notifier.watchdog_s is None


@pytest.mark.usefixtures("without_systemd")
@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"WATCHDOG_USEC": "10000000"}, 10.0),
        ({"WATCHDOG_USEC": "250000", "WATCHDOG_PID": str(os.getpid())}, 0.25),
        ({"WATCHDOG_USEC": "10000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_PID": str(os.getpid())}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": ""}, None),
        ({"WATCHDOG_USEC": "-5"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_watchdog_is_fed_only_where_we_are_watched(
    manager: Manager, variables: dict[str, str], expected: float | None
) -> None:
    """WATCHDOG_USEC asks for it, WATCHDOG_PID says of whom; a child that inherits both stays silent."""
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": manager.name, **variables})
    assert expected == notifier.watchdog_s
    notifier.watchdog()
    assert (["WATCHDOG=1"] if expected else []) == manager.heard()
