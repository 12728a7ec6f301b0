"""Who looks at the daemon after every look at the sensors."""

from __future__ import annotations

from typing import Protocol

from adaspring.app.status import Status


class Observed(Protocol):
    """What an observer of a model sees of the control loop, and may ask of it."""

    def status(self) -> Status:
        """The daemon at this moment."""

    def start_over(self, why: str) -> None:
        """Drain, then begin again in the same process with what is configured and installed now."""


class Observer(Protocol):
    """Looks at one model from the control thread; it must not raise, nor take long."""

    def observe(self, loop: Observed) -> None:
        """Look once more."""

    def close(self) -> None:
        """The daemon ends."""


class AllObserved(Protocol):
    """What an observer of all models sees; see `app.views`."""

    def statuses(self) -> list[Status]:
        """The daemon at this moment with each of its models, the highest priority first."""


class AllObserver(Protocol):
    """Looks at all models; see `Observer`."""

    def observe(self, views: AllObserved) -> None:
        """Look once more."""

    def close(self) -> None:
        """The daemon ends."""
