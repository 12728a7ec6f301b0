"""What an operator may ask of the running daemon, answered by the control thread."""

from __future__ import annotations

from typing import Any, Protocol

from adaspring.app.evolution import Evolution
from adaspring.app.status import Status, TablesView
from adaspring.errors import AdaSpringError, ConfigError, EngineError, GenomeError
from adaspring.serve.control import ControlRequest, ControlServer
from adaspring.serve.protocol import Event

COMMANDS = ("status", "explain", "tables", "snapshot", "decisions", "evolve", "pin", "unpin", "reload")


class Operations(Protocol):
    """What commands act on: the control loop."""

    def status(self) -> Status:
        """The daemon at this moment."""

    def explain(self) -> Evolution:
        """The newest evolution: why the active subnet is the active one."""

    def tables(self) -> TablesView:
        """What is decided from, and how it was corrected."""

    def snapshot(self) -> list[Event]:
        """The newest event of every topic."""

    def decisions(self) -> list[Evolution]:
        """Recent evolutions, oldest first."""

    def reload(self) -> None:
        """Take what is configured and installed now."""

    def evolve(self) -> Evolution:
        """Decide and swap now; a pin ends."""

    def pin(self, subnet: str) -> Evolution:
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
    if request.command == "pin":
        subnet = request.arguments.get("subnet")
        if not isinstance(subnet, str) or len(request.arguments) != 1:
            raise _ArgumentError('pin takes one argument, "subnet", in text form, for example "f32:c64.-.c96"')
        return operations.pin(subnet)
    commands = {
        "status": operations.status,
        "explain": operations.explain,
        "tables": operations.tables,
        "snapshot": operations.snapshot,
        "decisions": operations.decisions,
        "reload": operations.reload,
        "evolve": operations.evolve,
        # Letting the search decide again is what ends a pin.
        "unpin": operations.evolve,
    }
    if request.command not in commands:
        raise _UnknownCommandError(f"there is no command {request.command!r}; there are {', '.join(COMMANDS)}")
    if request.arguments:
        raise _ArgumentError(f"{request.command} takes no arguments; it got {', '.join(request.arguments)}")
    return commands[request.command]()


class _UnknownCommandError(AdaSpringError, LookupError):
    """The command does not exist."""


class _ArgumentError(AdaSpringError, ValueError):
    """The arguments do not fit the command."""
