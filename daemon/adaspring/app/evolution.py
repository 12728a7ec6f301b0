"""One evolution: decide, assemble, warm, flip; timed, recorded, and harmless when it fails."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

import msgspec

from adaspring.context.model import Context
from adaspring.decide import Cause, Decision, Planner
from adaspring.engine import Active, Prepared, SubnetCache
from adaspring.space import Genome, SearchSpace


class Evolution(msgspec.Struct, frozen=True):
    """What one evolution did and took; published as the event ``evolution``.

    Attributes:
        at: Wall clock, ISO 8601, UTC.
        at_s: Monotonic clock, in seconds.
        cause: What triggered it.
        from_subnet: Subnet before, in text form; empty for the first.
        subnet: Subnet after.
        generation: Generation after.
        swapped: False where the search confirmed the subnet that already ran.
        cache_hit: Whether the subnet was prepared already.
        search_us: Budgets and search, in microseconds.
        assemble_us: Slicing, folding and encoding.
        load_us: Building the session.
        warm_us: Runs before the first frame.
        total_us: From the moment the trigger saw the context to the flip.
        decision: What was decided and why; None where an operator pinned the subnet.
    """

    at: str
    at_s: float
    cause: Cause
    from_subnet: str
    subnet: str
    generation: int
    swapped: bool
    cache_hit: bool
    search_us: float
    assemble_us: float
    load_us: float
    warm_us: float
    total_us: float
    decision: Decision | None


class Evolver:
    """Moves the active subnet to where the planner wants it.

    Attributes:
        planner: Decides; replaced when tables change.
        active: The subnet that answers frames.
    """

    def __init__(
        self,
        space: SearchSpace,
        planner: Planner,
        cache: SubnetCache,
        active: Active,
        *,
        seed: int,
        wall: Callable[[], str],
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        """Wire an evolver.

        Args:
            space: The search space.
            planner: Decides.
            cache: Prepares subnets.
            active: The subnet that answers frames.
            seed: Seed of every search.
            wall: Wall clock as text, for records.
            clock: In seconds; the one that durations are taken with.
        """
        self.planner = planner
        self.active = active
        self._space = space
        self._cache = cache
        self._seed = seed
        self._wall = wall
        self._clock = clock

    @classmethod
    def begin(
        cls,
        space: SearchSpace,
        planner: Planner,
        cache: SubnetCache,
        context: Context,
        *,
        seed: int,
        wall: Callable[[], str],
        clock: Callable[[], float] = perf_counter,
    ) -> tuple[Evolver, Evolution]:
        """Choose and prepare the first subnet; arguments are those of the constructor.

        Raises:
            EngineError: If it cannot be prepared: there is nothing to serve with.
        """
        started_s = clock()
        decision = planner.decide(context, None, Cause("start", "the daemon started"), seed=seed)
        decided_s = clock()
        prepared, hit = cache.prepare(space.check(decision.genome))
        evolver = cls(space, planner, cache, Active(prepared.subnet), seed=seed, wall=wall, clock=clock)
        first = evolver._recorded(
            "",
            prepared,
            decision.cause,
            context.at_s,
            cache_hit=hit,
            seen_s=started_s,
            decided_s=decided_s,
            decision=decision,
        )
        return evolver, first

    def evolve(self, cause: Cause, context: Context, seen_s: float) -> Evolution:
        """Search for the context and swap, if the best subnet is another than the active one.

        Args:
            cause: What triggered it.
            context: The context to decide for.
            seen_s: When the trigger saw the context, on this object's clock.

        Raises:
            EngineError: If the subnet could not be prepared; the active one goes on.
        """
        incumbent = self.active.current.subnet.genome
        decision = self.planner.decide(context, incumbent, cause, seed=self._seed)
        genome = self._space.check(decision.genome)
        return self._move(genome, cause, context.at_s, seen_s=seen_s, decided_s=self._clock(), decision=decision)

    def pin(self, genome: Genome, cause: Cause, at_s: float) -> Evolution:
        """Swap to a subnet that an operator asks for.

        Raises:
            EngineError: If the subnet could not be prepared; the active one goes on.
        """
        now_s = self._clock()
        return self._move(genome, cause, at_s, seen_s=now_s, decided_s=now_s, decision=None)

    def _move(
        self, genome: Genome, cause: Cause, at_s: float, *, seen_s: float, decided_s: float, decision: Decision | None
    ) -> Evolution:
        before = self.active.current.subnet
        if before.genome.tobytes() == genome.tobytes():
            prepared, hit = Prepared(before, 0.0, 0.0, 0.0), True
        else:
            prepared, hit = self._cache.prepare(genome)
            self.active.publish(prepared.subnet)
        return self._recorded(
            before.name, prepared, cause, at_s, cache_hit=hit, seen_s=seen_s, decided_s=decided_s, decision=decision
        )

    def _recorded(
        self,
        from_subnet: str,
        prepared: Prepared,
        cause: Cause,
        at_s: float,
        *,
        cache_hit: bool,
        seen_s: float,
        decided_s: float,
        decision: Decision | None,
    ) -> Evolution:
        total_us = (self._clock() - seen_s) * 1e6
        subnet = prepared.subnet.name
        return Evolution(
            at=self._wall(),
            at_s=at_s,
            cause=cause,
            from_subnet=from_subnet,
            subnet=subnet,
            generation=self.active.current.number,
            swapped=subnet != from_subnet,
            cache_hit=cache_hit,
            search_us=(decided_s - seen_s) * 1e6,
            assemble_us=prepared.assemble_us,
            load_us=prepared.load_us,
            warm_us=prepared.warm_us,
            total_us=total_us,
            decision=decision,
        )
