"""One evolution: decide, assemble, warm, flip; timed, recorded, and harmless when it fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

import msgspec

from adaspring.context.model import Context
from adaspring.decide import Cause, Choice, Decision, Planner, Together
from adaspring.engine import Active, Beside, Prepared, SubnetCache, here, warm_batches
from adaspring.serve.batching import paying_sizes
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
        boot_id: Of the kernel whose monotonic clock `at_s` is.
        model: Name of the model.
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
    boot_id: str = ""
    model: str = ""


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
        boot_id: str = "",
        model: str = "",
        clock: Callable[[], float] = perf_counter,
        beside: Beside = here,
    ) -> None:
        """Wire an evolver.

        Args:
            space: The search space.
            planner: Decides.
            cache: Prepares subnets.
            active: The subnet that answers frames.
            seed: Seed of every search.
            wall: Wall clock as text, for records.
            boot_id: Of the kernel, for records.
            model: Name of the model, for records.
            clock: In seconds; the one that durations are taken with.
            beside: Runs what is not part of the flip.
        """
        self.planner = planner
        self.active = active
        self._space = space
        self._cache = cache
        self._seed = seed
        self._wall = wall
        self._boot_id = boot_id
        self._model = model
        self._clock = clock
        self._beside = beside

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
        last: Genome | None = None,
        chosen: tuple[Choice, Together] | None = None,
        boot_id: str = "",
        model: str = "",
        clock: Callable[[], float] = perf_counter,
        beside: Beside = here,
    ) -> tuple[Evolver, Evolution]:
        """Choose and prepare the first subnet.

        Args are those of the constructor, and ``last``: the subnet that served last, from which the search
        starts as from any that runs; None for a cold start. ``chosen`` is what was chosen for several models
        already; None to choose here.

        Raises:
            EngineError: If it cannot be prepared: there is nothing to serve with.
        """
        started_s = clock()
        choice, together = (planner.choose(context, last, seed=seed), None) if chosen is None else chosen
        chosen_s = clock()
        prepared, hit = cache.prepare(space.check(choice.genome))
        active = Active(prepared.subnet)
        evolver = cls(
            space,
            planner,
            cache,
            active,
            seed=seed,
            wall=wall,
            boot_id=boot_id,
            model=model,
            clock=clock,
            beside=beside,
        )
        swap = _Swap("", prepared, hit, started_s, chosen_s, clock())
        cause = Cause("start", "the daemon started")
        return evolver, evolver._recorded(swap, cause, context.at_s, planner.decision(choice, cause, together))

    def evolve(self, cause: Cause, context: Context, seen_s: float) -> Evolution:
        """Search for the context and swap, if the best subnet is another than the active one.

        Args:
            cause: What triggered it.
            context: The context to decide for.
            seen_s: When the trigger saw the context, on this object's clock.

        Raises:
            EngineError: If the subnet could not be prepared; the active one goes on.
        """
        choice = self.planner.choose(context, self.active.current.subnet.genome, seed=self._seed)
        return self.follow(choice, cause, seen_s)

    def follow(self, choice: Choice, cause: Cause, seen_s: float, together: Together | None = None) -> Evolution:
        """Swap to what was chosen just now, if it is another subnet than the active one.

        Args:
            choice: Of this object's planner.
            cause: What triggered it.
            seen_s: When the trigger saw the context, on this object's clock.
            together: What was chosen for other models with it.

        Raises:
            EngineError: If the subnet could not be prepared; the active one goes on.
        """
        swap = self._swap(choice.genome, seen_s=seen_s, chosen_s=self._clock())
        # Told after the flip: what a person wants to know need not hold up frames.
        return self._recorded(swap, cause, choice.context.at_s, self.planner.decision(choice, cause, together))

    def pin(self, genome: Genome, cause: Cause, at_s: float) -> Evolution:
        """Swap to a subnet that an operator asks for.

        Raises:
            EngineError: If the subnet could not be prepared; the active one goes on.
        """
        now_s = self._clock()
        return self._recorded(self._swap(genome, seen_s=now_s, chosen_s=now_s), cause, at_s, None)

    def warm_batches(self, crowd: int) -> None:
        """Warm the active subnet for batches, behind the flip: until it is, its frames are computed one by one.

        Args:
            crowd: The most requests that might have been computed together of late. Larger batches are not
                warmed: that takes longer than all else behind a flip, mostly for nobody.
        """
        spec = self._space.spec
        sizes = paying_sizes(dict(self.planner.tables.facts.batch_curve))
        subnet, wanted = self.active.current.subnet, [size for size in sizes if size <= crowd]
        if set(wanted) - set(subnet.batch_sizes):
            self._beside(lambda: warm_batches(subnet, (spec.input_channels, *spec.input_size), wanted))

    def _swap(self, genome: Genome, *, seen_s: float, chosen_s: float) -> _Swap:
        before = self.active.current.subnet
        if before.genome.tobytes() == genome.tobytes():
            prepared, hit = Prepared(before, 0.0, 0.0, 0.0), True
        else:
            prepared, hit = self._cache.prepare(genome)
            self.active.publish(prepared.subnet)
        return _Swap(before.name, prepared, hit, seen_s, chosen_s, self._clock())

    def _recorded(self, swap: _Swap, cause: Cause, at_s: float, decision: Decision | None) -> Evolution:
        prepared = swap.prepared
        return Evolution(
            at=self._wall(),
            at_s=at_s,
            cause=cause,
            from_subnet=swap.from_subnet,
            subnet=prepared.subnet.name,
            generation=self.active.current.number,
            swapped=prepared.subnet.name != swap.from_subnet,
            cache_hit=swap.cache_hit,
            search_us=(swap.chosen_s - swap.seen_s) * 1e6,
            assemble_us=prepared.assemble_us,
            load_us=prepared.load_us,
            warm_us=prepared.warm_us,
            total_us=(swap.flipped_s - swap.seen_s) * 1e6,
            decision=decision,
            boot_id=self._boot_id,
            model=self._model,
        )


@dataclass(frozen=True, slots=True)
class _Swap:
    """A swap and when its parts were done, in seconds."""

    from_subnet: str
    prepared: Prepared
    cache_hit: bool
    seen_s: float
    chosen_s: float
    flipped_s: float
