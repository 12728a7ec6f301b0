"""Follows a daemon: its status by the control socket, what happens by the event socket."""

from __future__ import annotations

from collections import deque
from contextlib import ExitStack
from datetime import datetime
from types import TracebackType

import msgspec

from adaspring.app.evolution import Evolution
from adaspring.app.status import Status
from adaspring.client import ControlClient, EventSubscriber
from adaspring.serve.protocol import Event

#: Values of a curve and happenings that are kept: more than a terminal shows.
_KEPT = 512
#: How long the daemon may take to answer, in seconds; no key is heard for so long.
_ANSWER_S = 1.0


class Happening(msgspec.Struct, frozen=True):
    """Something that a person wants to see.

    Attributes:
        at: When.
        sentence: What, or why.
        subnet: Active from then on; None where nothing changed hands.
        total_us: What an evolution took, in microseconds; None for what is none.
        alarming: Whether it is bad news.
    """

    at: datetime
    sentence: str
    subnet: str | None = None
    total_us: float | None = None
    alarming: bool = False


class Feed:
    """What is known of a daemon. It outlives restarts of the daemon.

    Attributes:
        status: The newest.
        latencies_us: The 95th percentile of compute at each look, oldest first; None where none was measured.
        happenings: Oldest first.
    """

    def __init__(self, control: str | None, events: str | None, model: str | None = None) -> None:
        """Listen, then look once: what happens in between is not missed.

        Args:
            control: Endpoint of the control socket; None for its default place.
            events: The same of the event socket.
            model: To look at; None for that of the highest priority.

        Raises:
            ClientError: If nobody answers.
        """
        self.latencies_us: deque[float | None] = deque(maxlen=_KEPT)
        self.happenings: deque[Happening] = deque(maxlen=_KEPT)
        self._sequences: dict[str, int] = {}
        self._newest_s: dict[str, float] = {}
        self._model = model
        with ExitStack() as stack:
            self._events = EventSubscriber(events, topics=("evolution", "failure", "throttle"))
            stack.callback(self._events.close)
            self._control = ControlClient(control, timeout_s=_ANSWER_S)
            stack.callback(self._control.close)
            self.status = self._ask_status()
            self._catch_up()
            self._stack = stack.pop_all()

    def __enter__(self) -> Feed:  # noqa: PYI034 - typing.Self came with Python 3.11
        """Do nothing: it listens already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening."""
        self._stack.close()

    def look(self) -> None:
        """Ask for the status.

        Raises:
            ClientError: If nobody answers; what is known stays.
        """
        self.status = self._ask_status()
        # Not heard of: the daemon began again, or we were not connected yet.
        if self.status.last_evolution.at_s != self._newest_s.get(self.status.model):
            self._catch_up()

    def show_next(self) -> None:
        """Look at the next model from the next look on."""
        models = self.status.models
        self._model = models[(models.index(self.status.model) + 1) % len(models)]
        if self._model != self.status.model:
            self.latencies_us.clear()

    def listen(self) -> bool:
        """Take in what has happened; whether anything has."""
        heard = False
        while (event := self._events.receive(0.0)) is not None:
            heard = self._take(event) or heard
        return heard

    def _ask_status(self) -> Status:
        status = msgspec.convert(self._control.call("status", model=self._model), Status)
        self.latencies_us.append(status.measured.latency_p95_us)
        return status

    def _catch_up(self) -> None:
        """What a late subscriber missed: recent evolutions, and the newest event of each topic with its number."""
        evolutions = msgspec.convert(self._control.call("decisions"), list[Evolution])
        self._newest_s = {evolution.model: evolution.at_s for evolution in evolutions}
        self._sequences.clear()
        newest = [self._read(event) for event in msgspec.convert(self._control.call("snapshot"), list[Event])]
        # What is told twice is equal, and stays once.
        told = {*self.happenings, *(self._of_evolution(evolution) for evolution in evolutions), *newest}
        self.happenings = deque(sorted(filter(None, told), key=lambda happening: happening.at), maxlen=_KEPT)

    def _take(self, event: Event) -> bool:
        if event.sequence <= self._sequences.get(event.topic, 0):
            return False
        happening = self._read(event)
        if happening is not None:
            self.happenings.append(happening)
        return True

    def _read(self, event: Event) -> Happening | None:
        """What an event tells a person; None for what is not worth a line."""
        self._sequences[event.topic] = event.sequence
        if event.topic == "evolution":
            evolution = msgspec.convert(event.data, Evolution)
            self._newest_s[evolution.model] = evolution.at_s
            return self._of_evolution(evolution)
        if event.topic == "failure":
            sentence = f"evolution failed, the subnet goes on: {event.data['error']}"
            return Happening(event.at, sentence, alarming=True)
        return _of_throttling(event) if event.topic == "throttle" else None

    def _of_evolution(self, evolution: Evolution) -> Happening | None:
        if not evolution.swapped:
            return None
        at = datetime.fromisoformat(evolution.at)
        whose = f"{evolution.model}: " if len(self.status.models) > 1 else ""
        return Happening(at, f"{whose}{evolution.cause.sentence}", evolution.subnet, evolution.total_us)


def _of_throttling(event: Event) -> Happening:
    throttled: bool | None = event.data["throttled"]
    told = {True: "throttled", False: "not throttled any more", None: "throttling is not known any more"}[throttled]
    return Happening(event.at, f"{told} ({event.data['source'] or event.data['reason']})", alarming=bool(throttled))
