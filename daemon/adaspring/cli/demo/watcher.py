"""Follows a day that passes: what the daemon does, what the app sees, what it costs."""

from __future__ import annotations

import time
from contextlib import nullcontext

import msgspec
from rich.console import Console
from rich.live import Live

from adaspring.app.evolution import Evolution
from adaspring.app.status import Status
from adaspring.cli.demo.app import SensingApp
from adaspring.cli.demo.view import Moment, evolution_cells, screen
from adaspring.client import ControlClient, EventSubscriber
from adaspring.simulate import DayReplay

#: Looks at daemon and sensors a second.
REFRESH_HZ = 8.0


class Watcher:
    """Follows the day and draws it."""

    def __init__(self, replay: DayReplay, control: ControlClient, events: EventSubscriber, app: SensingApp) -> None:
        """Wire a watcher.

        Args:
            replay: The day; looking moves it on.
            control: Of the daemon.
            events: Of the daemon.
            app: Its rate follows the day.
        """
        self._replay = replay
        self._control = control
        self._events = events
        self._app = app
        self._swaps: list[tuple[float, Evolution]] = []
        self._energy_mj = 0.0
        self._full_energy_mj = 0.0
        self._counted = 0

    def watch(self, console: Console) -> Moment:
        """Draw until the day is over; returns its last moment."""
        drawn = Live(console=console, screen=True, auto_refresh=False) if console.is_terminal else nullcontext()
        with drawn as live:
            while True:
                moment = self.look(console if live is None else None)
                if live is not None:
                    live.update(screen(moment, console.width), refresh=True)
                if self._replay.finished:
                    return moment
                time.sleep(1 / REFRESH_HZ)

    def look(self, console: Console | None = None) -> Moment:
        """Move the day on and look at everything; evolutions are printed, where there is a console."""
        day = self._replay.update()
        self._app.rate_hz = day.events_hz
        status = msgspec.convert(self._control.call("status"), Status)
        while (event := self._events.receive(0.0)) is not None:
            if event.topic == "evolution":
                self._note(msgspec.convert(event.data, Evolution), day.time_s, console)
        self._account(status)
        return Moment(
            time_s=day.time_s,
            activity=day.activity,
            progress=self._replay.progress,
            status=status,
            tally=self._app.tally,
            energy_mj=self._energy_mj,
            full_energy_mj=self._full_energy_mj,
            evolutions=self._swaps,
        )

    def _note(self, evolution: Evolution, time_s: float, console: Console | None) -> None:
        if evolution.swapped:
            self._swaps.append((time_s, evolution))
            if console is not None:
                console.print("  ".join(cell.plain for cell in evolution_cells(time_s, evolution)))

    def _account(self, status: Status) -> None:
        answered = self._app.tally.answered
        frames, self._counted = answered - self._counted, answered
        self._energy_mj += frames * status.predicted.energy_mj
        self._full_energy_mj += frames * status.full_energy_mj
