"""Prepared subnets that were used lately, so that going back to one costs nothing."""

from __future__ import annotations

from collections import OrderedDict

from adaspring.engine.base import Engine, Prepared
from adaspring.space import Genome

#: Memory of a prepared subnet beyond its weights, in MiB, where profiling has not measured it yet:
#: the bundles that ship take 0.4 to 0.6 with onnxruntime (`adaspring profile` prints it).
UNMEASURED_SESSION_MIB = 0.6


class SubnetCache:
    """Keeps the subnets prepared last within some memory, the least recently used leaving first.

    Attributes:
        engine: Prepares what the cache does not hold.
        session_mib: Memory of a prepared subnet beyond its weights, in MiB; set anew when it is measured.
    """

    def __init__(self, engine: Engine, limit_mib: float, session_mib: float | None = None) -> None:
        """Put a cache in front of an engine.

        Args:
            engine: Prepares what the cache does not hold.
            limit_mib: Memory that the subnets kept may take, in MiB; 0 keeps none.
            session_mib: As measured on this device; None where nothing was measured.
        """
        self.engine = engine
        self.session_mib = UNMEASURED_SESSION_MIB if session_mib is None else session_mib
        self._limit_mib = limit_mib
        self._subnets: OrderedDict[bytes, Prepared] = OrderedDict()

    def __len__(self) -> int:
        """Subnets held."""
        return len(self._subnets)

    @property
    def held_mib(self) -> float:
        """Memory of the subnets held, in MiB."""
        return sum(held.weights_mib + self.session_mib for held in self._subnets.values())

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
            return Prepared(held.subnet, 0.0, 0.0, 0.0, held.weights_mib), True
        prepared = self.engine.prepare(genome)
        self._subnets[key] = prepared
        while self._subnets and self.held_mib > self._limit_mib:
            self._subnets.popitem(last=False)
        return prepared, False

    def clear(self) -> None:
        """Let all subnets go."""
        self._subnets.clear()
