"""What every sensor offers to the monitor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from adaspring.context.model import Reading


class Sensor(Protocol):
    """One kind of device in the tree."""

    def discover(self) -> None:
        """Look anew which devices there are; numbering may have changed."""

    def read(self) -> Mapping[str, Reading]:
        """Readings by quantity, always the same names; what fails is a reason, never an exception."""
