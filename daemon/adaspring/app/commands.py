"""What an operator may ask of the running daemon, answered by the control thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from adaspring.app.evolution import Evolution
from adaspring.app.status import Status, TablesView
from adaspring.errors import AdaSpringError, ConfigError, EngineError, GenomeError
from adaspring.serve.control import ControlRequest, ControlServer
from adaspring.serve.protocol import Event

COMMANDS = ("status", "explain", "tables", "snapshot", "decisions", "evolve", "pin", "unpin", "reload")


class Seen(Protocol):
    """What commands show; see `app.views`. A model need not be named where there is one."""

    def status(self, model: str | None = None) -> Status:
        """The daemon at this moment."""

    def explain(self, model: str | None = None) -> Evolution:
        """The newest evolution: why the active subnet is the active one."""

    def tables(self, model: str | None = None) -> TablesView:
        """What is decided from, and how it was corrected."""

    def decisions(self) -> list[Evolution]:
        """Recent evolutions, oldest first."""


class Operations(Protocol):
    """What commands act on: the control loop. A model need not be named where there is one."""

    @property
    def views(self) -> Seen:
        """What it shows."""

    def snapshot(self) -> list[Event]:
        """The newest event of every topic."""

    def reload(self) -> None:
        """Take what is configured and installed now."""

    def evolve(self, model: str | None = None) -> Evolution:
        """Decide and swap now; a pin ends."""

    def pin(self, subnet: str, model: str | None = None) -> Evolution:
        """Hold a subnet, given in text form."""


def answer(server: ControlServer, request: ControlRequest, operations: Operations) -> None:
    """Carry a command out and reply; one that fails is refused with its reason."""
    try:
        result = _carry_out(request, operations)
    except _UnknownCommandError as error:
        server.refuse(request, "NOT_FOUND", str(error))
    except (GenomeError, ConfigError, _ArgumentError) as error:
        server.refuse(request, "INVALID_ARG", str(error))
    except EngineError as error:
        server.refuse(request, "INTERNAL", str(error))
    else:
        server.reply(request, result)


def _carry_out(request: ControlRequest, operations: Operations) -> Any:
    of_a_model: dict[str, Callable[[str | None], Any]] = {
        "status": operations.views.status,
        "explain": operations.views.explain,
        "tables": operations.views.tables,
        "evolve": operations.evolve,
        # Letting the search decide again is what ends a pin.
        "unpin": operations.evolve,
    }
    of_all: dict[str, Callable[[], Any]] = {
        "snapshot": operations.snapshot,
        "decisions": operations.views.decisions,
        "reload": operations.reload,
    }
    command, arguments = request.command, dict(request.arguments)
    if command not in COMMANDS:
        raise _UnknownCommandError(f"there is no command {command!r}; there are {', '.join(COMMANDS)}")
    model = None if command in of_all else arguments.pop("model", None)
    if not isinstance(model, str | None):
        raise _ArgumentError(f'{command} takes the name of a model as "model", for example "har"')
    if command == "pin":
        subnet = arguments.pop("subnet", None)
        if not isinstance(subnet, str) or arguments:
            raise _ArgumentError(
                'pin takes "subnet", in text form, for example "f32:c64.-.c96", and where there are several, "model"'
            )
        return operations.pin(subnet, model)
    if arguments:
        raise _ArgumentError(f"{command} takes no such arguments; it got {', '.join(arguments)}")
    return of_all[command]() if command in of_all else of_a_model[command](model)


class _UnknownCommandError(AdaSpringError, LookupError):
    """The command does not exist."""


class _ArgumentError(AdaSpringError, ValueError):
    """The arguments do not fit the command."""
