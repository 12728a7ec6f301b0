"""What every sensor offers to the monitor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from adaspring.context.model import Reading


class Sensor(Protocol):
    """One kind of device in the tree.

    A sensor may take its time and may even hang: it is read in a thread of its own (see `Crew`),
    by one thread at a time.
    """

    @property
    def quantities(self) -> tuple[str, ...]:
        """Names of what it reads, always the same."""

    @property
    def interval_s(self) -> float:
        """Least time between two reads, in seconds; 0 reads at every tick."""

    def discover(self) -> None:
        """Look anew which devices there are; numbering may have changed."""

    def read(self) -> Mapping[str, Reading]:
        """Readings by quantity; what fails is a reason, never an exception."""
