"""Prepared subnets that were used lately, so that going back to one costs nothing."""

from __future__ import annotations

from collections import OrderedDict

from adaspring.engine.base import Engine, Prepared
from adaspring.space import Genome


class SubnetCache:
    """Keeps the subnets prepared last, the least recently used leaving first."""

    def __init__(self, engine: Engine, capacity: int) -> None:
        """Put a cache in front of an engine.

        Args:
            engine: Prepares what the cache does not hold.
            capacity: Subnets kept; 0 keeps none.
        """
        self.engine = engine
        self.capacity = capacity
        self._subnets: OrderedDict[bytes, Prepared] = OrderedDict()

    def __len__(self) -> int:
        """Subnets held."""
        return len(self._subnets)

    def prepare(self, genome: Genome) -> tuple[Prepared, bool]:
        """A prepared subnet, and whether it was in the cache.

        A hit took nothing, and its times say so.

        Raises:
            EngineError: If the engine cannot prepare it.
        """
        key = genome.tobytes()
        held = self._subnets.get(key)
        if held is not None:
            self._subnets.move_to_end(key)
            return Prepared(held.subnet, 0.0, 0.0, 0.0), True
        prepared = self.engine.prepare(genome)
        self._subnets[key] = prepared
        while len(self._subnets) > self.capacity:
            self._subnets.popitem(last=False)
        return prepared, False

    def clear(self) -> None:
        """Let all subnets go."""
        self._subnets.clear()
