"""The control client against a real control server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import zmq

from adaspring import errors
from adaspring.client import ControlClient
from adaspring.serve.control import ControlServer
from adaspring.serve.endpoint import CONTROL_MODE, claim


@contextmanager
def control_thread(endpoint: str) -> Iterator[None]:
    """A daemon that echoes the arguments of ``echo``, ignores ``sleep``, and refuses all else."""
    with claim(endpoint, mode=CONTROL_MODE) as claimed, zmq.Context() as context:
        server = ControlServer(context, claimed)
        stopping = threading.Event()

        def serve() -> None:
            while not stopping.is_set():
                request = server.wait(10)
                if request is None or request.command == "sleep":
                    continue
                if request.command == "echo":
                    server.reply(request, request.arguments)
                else:
                    server.refuse(request, "NOT_FOUND", f"no command {request.command!r}; did you mean 'echo'?")

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            stopping.set()
            server.wake()
            thread.join(5)
            server.close()


def test_call_gets_its_result(socket_folder: Path) -> None:
    """Arguments go by name, the result comes as plain data."""
    endpoint = f"ipc://{socket_folder}/control.sock"
    with control_thread(endpoint), ControlClient(endpoint) as client:
        assert client.call("echo", subnet="c16", for_s=1.5) == {"subnet": "c16", "for_s": 1.5}
        assert client.call("echo") == {}


def test_refusal_is_a_typed_error_and_the_next_call_is_answered(socket_folder: Path) -> None:
    """The code chooses the exception, the sentence is the daemon's."""
    endpoint = f"ipc://{socket_folder}/control.sock"
    with control_thread(endpoint), ControlClient(endpoint) as client:
        with pytest.raises(errors.NotFoundError, match="did you mean 'echo'"):
            client.call("ecko")
        assert client.call("echo", a=1) == {"a": 1}


def test_silence_is_a_timeout_and_absence_a_connect_error(socket_folder: Path) -> None:
    """A command that was not answered is not sent again."""
    endpoint = f"ipc://{socket_folder}/control.sock"
    with ControlClient(endpoint, timeout_s=0.05) as client:
        with pytest.raises(errors.ConnectError, match="No such file"):
            client.call("echo")
        with control_thread(endpoint), pytest.raises(errors.TimedOutError):
            client.call("sleep")
