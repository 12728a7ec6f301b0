"""A day replayed in a minute: the clock on the wall drives the clock of the scenario."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from adaspring.errors import ConfigError
from adaspring.simulate.device import DayState, SimulatedDevice
from adaspring.simulate.scenario import Scenario
from adaspring.simulate.tree import LiveTree

_HOUR_S = 3600.0


class DayReplay:
    """Keeps a tree of files at the time of day that the wall clock stands for."""

    def __init__(
        self,
        scenario: Scenario,
        tree: LiveTree,
        seconds: float,
        *,
        clock: Callable[[], float] = monotonic,
        own_load: Callable[[], float] = float,
    ) -> None:
        """Write the begin of the day; time starts with the first `update`.

        Args:
            scenario: The day.
            tree: Where it is shown.
            seconds: Real time that the span of the scenario takes.
            clock: Monotonic, in seconds.
            own_load: Cores that something real keeps busy, on top of the scenario's load; default: none.

        Raises:
            ConfigError: If ``seconds`` is not positive.
            OSError: If the tree cannot be written.
        """
        if seconds <= 0:
            raise ConfigError(f"a day must take some time; {seconds} s is none")
        self._span = scenario.span
        self._device = SimulatedDevice(scenario)
        self._tree = tree
        self._seconds = seconds
        self._clock = clock
        self._own_load = own_load
        self._started_s: float | None = None
        tree.write(self._device.state())

    def update(self) -> DayState:
        """Bring the tree up to now; call it about ten times a second.

        Raises:
            OSError: If the tree cannot be written.
        """
        if self._started_s is None:
            self._started_s = self._clock()
        hour = self._span.from_h + self.progress * (self._span.to_h - self._span.from_h)
        state = self._device.advance_to(hour * _HOUR_S, own_load=self._own_load())
        self._tree.write(state)
        return state

    @property
    def progress(self) -> float:
        """Share of the day that has passed, from 0 to 1."""
        if self._started_s is None:
            return 0.0
        return min((self._clock() - self._started_s) / self._seconds, 1.0)

    @property
    def finished(self) -> bool:
        """Whether the day is over."""
        return self.progress >= 1.0
