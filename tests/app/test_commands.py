from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adaspring.app.commands import COMMANDS, answer
from adaspring.client import ControlClient
from adaspring.errors import (
    ConfigError,
    EngineError,
    GenomeError,
    InternalError,
    InvalidArgumentError,
    NotFoundError,
    ReplyError,
)
from adaspring.serve.control import ControlServer
from adaspring.serve.endpoint import CONTROL_MODE, claim


def of(what: str, model: str | None) -> str:
    """What was asked, and of which model."""
    return what if model is None else f"{what} of {model}"


class Operator:
    """Stands for the control loop: says what it was asked, and fails where its subnet asks for it."""

    @property
    def views(self) -> Operator:
        """It shows what it is asked for, too."""
        return self

    def status(self, model: str | None = None) -> Any:
        """A status."""
        return of("status", model)

    def explain(self, model: str | None = None) -> Any:
        """An evolution."""
        return of("explain", model)

    def tables(self, model: str | None = None) -> Any:
        """The tables."""
        return of("tables", model)

    def evolve(self, model: str | None = None) -> Any:
        """An evolution."""
        return of("evolve", model)

    def snapshot(self) -> Any:
        """Events."""
        return ["snapshot"]

    def decisions(self) -> Any:
        """Evolutions."""
        return ["decisions"]

    def reload(self) -> Any:
        """A reload that is refused."""
        raise ConfigError("unknown key")

    def pin(self, subnet: str, model: str | None = None) -> Any:
        """An evolution."""
        if subnet == "unknown":
            raise GenomeError("there is no such subnet")
        if subnet == "broken":
            raise EngineError("there is no memory left")
        return of(f"pin {subnet}", model)


@pytest.fixture(scope="module")
def call(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Any]]:
    """Sends a command over a real socket; returns its result."""
    folder = Path(f"/tmp/adaspring-{tmp_path_factory.getbasetemp().name}")  # noqa: S108 - short, as sockets need it
    endpoint = f"ipc://{folder}/control.sock"
    with claim(endpoint, mode=CONTROL_MODE) as claimed, zmq.Context() as context:
        server = ControlServer(context, claimed)
        stopping = threading.Event()

        def serve() -> None:
            while not stopping.is_set():
                request = server.wait(5)
                if request is not None:
                    answer(server, request, Operator())

        thread = threading.Thread(target=serve)
        thread.start()
        with ControlClient(endpoint) as client:
            yield client.call
        stopping.set()
        server.wake()
        thread.join(5)
        server.close()
    folder.rmdir()


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("status", "status"),
        ("explain", "explain"),
        ("tables", "tables"),
        ("snapshot", ["snapshot"]),
        ("decisions", ["decisions"]),
        ("evolve", "evolve"),
        ("unpin", "evolve"),
    ],
)
def test_command_is_carried_out(call: Callable[..., Any], command: str, expected: object) -> None:
    """Each command reaches the control loop; unpin lets the search decide."""
    assert expected == call(command)


@pytest.mark.parametrize("command", ["status", "explain", "tables", "evolve"])
def test_a_model_may_be_named(call: Callable[..., Any], command: str) -> None:
    """What concerns one model acts on the one that is named."""
    assert f"{command} of har" == call(command, model="har")
    assert "pin f32:c16 of har" == call("pin", subnet="f32:c16", model="har")


def test_pin_takes_a_subnet(call: Callable[..., Any]) -> None:
    """The one command with an argument."""
    assert call("pin", subnet="f32:c16") == "pin f32:c16"


@pytest.mark.parametrize(
    ("command", "arguments", "error", "message"),
    [
        ("stauts", {}, NotFoundError, "no command 'stauts'; there are status, explain, "),
        ("", {}, NotFoundError, "no command ''"),
        ("reload", {}, InvalidArgumentError, "unknown key"),
        ("status", {"verbose": True}, InvalidArgumentError, "status takes no such arguments; it got verbose"),
        ("unpin", {"subnet": "f32:c16"}, InvalidArgumentError, "unpin takes no such arguments"),
        ("pin", {}, InvalidArgumentError, 'pin takes "subnet"'),
        ("pin", {"subnet": 3}, InvalidArgumentError, 'pin takes "subnet"'),
        ("pin", {"subnet": "f32:c16", "for": "ever"}, InvalidArgumentError, 'pin takes "subnet"'),
        ("pin", {"subnet": "unknown"}, InvalidArgumentError, "there is no such subnet"),
        ("pin", {"subnet": "broken"}, InternalError, "there is no memory left"),
    ],
)
def test_refusal_says_why(
    call: Callable[..., Any], command: str, arguments: dict[str, Any], error: type[ReplyError], message: str
) -> None:
    """A command that cannot be carried out is answered with a code and a sentence."""
    with pytest.raises(error, match=message):
        call(command, **arguments)
    assert call("status") == "status"


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    command=st.sampled_from(COMMANDS) | st.text(),
    arguments=st.dictionaries(st.text().filter(lambda name: name != "command"), st.integers() | st.text(), max_size=2),
)
def test_every_call_is_answered(call: Callable[..., Any], command: str, arguments: dict[str, Any]) -> None:
    """Whatever is asked, the loop goes on: there is a result, or a refusal of the two kinds."""
    try:
        call(command, **arguments)
    except (NotFoundError, InvalidArgumentError):
        assert call("status") == "status"
