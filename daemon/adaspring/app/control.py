"""The control thread: sense, decide, evolve, answer operators, feed the watchdog."""

from __future__ import annotations

import logging
from collections.abc import Callable
from math import inf
from time import monotonic, perf_counter

import numpy as np

import adaspring
from adaspring.app.background import BackgroundProfiler
from adaspring.app.commands import answer
from adaspring.app.counters import LEAST_FRAMES, FrameCounters
from adaspring.app.evolution import Evolution, Evolver
from adaspring.app.notify import Notifier
from adaspring.app.status import Measured, SlotView, Status
from adaspring.bundle import Bundle
from adaspring.context import Monitor
from adaspring.decide import Cause, Planner, Trigger
from adaspring.errors import EngineError
from adaspring.profile import PERCENTILE
from adaspring.serve.control import ControlServer
from adaspring.serve.events import EventPublisher
from adaspring.serve.server import DataPlane
from adaspring.space import Genome

_log = logging.getLogger(__name__)

#: A data thread that has not turned for this long is stuck (an idle one turns twice a second).
STUCK_S = 5.0


class ControlLoop:
    """Runs in the main thread until stopped; also what operators' commands act on."""

    def __init__(
        self,
        *,
        bundle: Bundle,
        device: str,
        engine: str,
        interval_s: float,
        monitor: Monitor,
        counters: FrameCounters,
        trigger: Trigger,
        evolver: Evolver,
        data: DataPlane,
        events: EventPublisher,
        control: ControlServer,
        notifier: Notifier,
        profiler: BackgroundProfiler | None,
        replan: Callable[[], Planner],
        first: Evolution,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """Wire the loop.

        Args:
            bundle: The bundle that is served.
            device: Name of the device profile.
            engine: Name of the engine.
            interval_s: Time between two looks at the sensors, in seconds.
            monitor: Sensors to context.
            counters: Recent frames.
            trigger: When to evolve.
            evolver: How to evolve.
            data: The data plane.
            events: Where evolutions and contexts are published.
            control: Where operators ask.
            notifier: Tells the service manager.
            profiler: Runs where tables are an estimate; None otherwise.
            replan: Makes a planner from the tables on disk, once `profiler` is done.
            first: The evolution that chose the first subnet; it carries a decision.
            clock: Monotonic, in seconds.
        """
        self._bundle = bundle
        self._device = device
        self._engine = engine
        self._interval_s = interval_s
        self._monitor = monitor
        self._counters = counters
        self._trigger = trigger
        self._evolver = evolver
        self._data = data
        self._events = events
        self._control = control
        self._notifier = notifier
        self._profiler = profiler
        self._replan = replan
        self._clock = clock
        self._started_s = clock()
        self._stopping = False
        self._pinned = False
        self._count = 0
        self._last = first
        self._rejected: dict[str, int] = {}
        self._decided(first)
        self._throttled = self._context.throttled

    def stop(self) -> None:
        """End the loop at its next turn; safe to call from a signal handler."""
        self._stopping = True
        self._control.wake()

    def run(self) -> None:
        """Turn until stopped."""
        next_tick_s = self._clock() + self._interval_s
        # Twice as often as the manager must hear of us, however seldom the sensors are looked at.
        ping_s = inf if self._notifier.watchdog_s is None else self._notifier.watchdog_s / 2
        next_ping_s = self._clock() + ping_s
        while not self._stopping:
            request = self._control.wait(max(0.0, min(next_tick_s, next_ping_s) - self._clock()))
            if request is not None:
                answer(self._control, request, self)
            now_s = self._clock()
            if now_s >= next_tick_s:
                self._tick(now_s)
                # Ticks that were missed (a suspended board) are not made up for.
                next_tick_s = max(next_tick_s + self._interval_s, now_s)
            if now_s >= next_ping_s:
                self._ping(now_s)
                next_ping_s = now_s + ping_s

    def _ping(self, now_s: float) -> None:
        # Only while the data thread turns: a watchdog that is fed from here alone guards nothing.
        if now_s - self._data.statistics().last_progress_s < STUCK_S:
            self._notifier.watchdog()

    def _tick(self, now_s: float) -> None:
        self._context = self._monitor.tick()
        seen_s = perf_counter()
        self._learn_latency()
        cause = None if self._pinned else self._trigger.check(self._context, now_s)
        if cause is not None:
            self._try_evolve(cause, seen_s)
        self._events.publish("context", self._context)
        self._tell_throttling()
        self._tell_rejections()
        if self._profiler is not None and self._profiler.finished():
            self._adopt_tables()

    def _try_evolve(self, cause: Cause, seen_s: float) -> None:
        try:
            self._decided(self._evolver.evolve(cause, self._context, seen_s))
        except EngineError as error:
            # The subnet that runs goes on, and the trigger asks again as after any decision.
            self._trigger.decided(self._context, self._budgets, self._clock())
            _log.error("evolution failed, %s goes on: %s", self._evolver.active.current.subnet.name, error)

    def _decided(self, evolution: Evolution) -> Evolution:
        decision = evolution.decision
        if decision is not None:
            self._context, self._budgets = decision.context, decision.budgets
            self._trigger.decided(decision.context, decision.budgets, self._clock())
        return self._record(evolution)

    def _record(self, evolution: Evolution) -> Evolution:
        self._last = evolution
        self._count += 1
        self._events.publish("evolution", evolution)
        predicted = self._evolver.planner.predict(self._evolver.active.current.subnet.genome)
        self._notifier.status(
            f"{evolution.subnet}: expecting {predicted.accuracy_percent:.1f} % accuracy, "
            f"{predicted.latency_p95_us:.0f} us at the 95th percentile"
        )
        self._data.extra = {
            "expected_accuracy_percent": predicted.accuracy_percent,
            "expected_latency_p95_us": predicted.latency_p95_us,
            "expected_energy_mj": predicted.energy_mj,
        }
        if evolution.swapped:
            _log.info(
                "generation %d: %s in %.1f ms, because %s",
                evolution.generation,
                evolution.subnet,
                evolution.total_us / 1e3,
                evolution.cause.sentence,
            )
        return evolution

    def _learn_latency(self) -> None:
        recent_us = self._counters.recent_us()
        if len(recent_us) >= LEAST_FRAMES:
            genome = self._evolver.active.current.subnet.genome
            self._evolver.planner.observe(genome, float(np.percentile(recent_us, PERCENTILE)))

    def _tell_throttling(self) -> None:
        reading = self._monitor.readings["throttled"]
        throttled = self._context.throttled
        if throttled is not self._throttled:
            self._throttled = throttled
            told = {"throttled": throttled, "source": reading.source, "reason": reading.reason}
            self._events.publish("throttle", told)

    def _tell_rejections(self) -> None:
        rejected = self._data.statistics().rejected
        new = {reason: count for reason, count in rejected.items() if count > self._rejected.get(reason, 0)}
        if new:
            self._events.publish("reject", new)
        self._rejected = rejected

    def _adopt_tables(self) -> None:
        self._profiler = None
        planner = self._replan()
        if planner.tables.facts.estimate:
            _log.error("background profiling left no tables that can be used: the estimate stays")
            return
        self._evolver.planner = planner
        _log.info("background profiling is done: deciding from measured tables from now on")
        if not self._pinned:
            self._try_evolve(Cause("tables", "measured tables replace the estimate"), perf_counter())

    # What operators ask for; see `app.commands`.

    def status(self) -> Status:
        """The daemon at this moment."""
        planner, generation = self._evolver.planner, self._evolver.active.current
        genome = generation.subnet.genome
        recent_us = self._counters.recent_us()
        percentiles = np.percentile(recent_us, [PERCENTILE, 50, 95]).tolist() if len(recent_us) else [None] * 3
        return Status(
            version=adaspring.__version__,
            model=self._bundle.manifest.name,
            bundle_version=self._bundle.manifest.version,
            device=self._device,
            engine=self._engine,
            uptime_s=self._clock() - self._started_s,
            subnet=generation.subnet.name,
            slots=self._slots(genome),
            generation=generation.number,
            pinned=self._pinned,
            profiling=self._profiler is not None and self._profiler.running,
            predicted=planner.predict(genome),
            full_energy_mj=planner.reference.energy_mj,
            budgets=self._budgets,
            measured=Measured(len(recent_us), *percentiles),
            latency_correction=planner.latency_correction,
            context=self._context,
            readings=self._monitor.readings,
            tables=planner.tables.facts,
            requests=self._data.statistics(),
            evolutions=self._count,
            last_evolution=self._last,
        )

    def _slots(self, genome: Genome) -> tuple[SlotView, ...]:
        space = self._bundle.space
        return tuple(
            SlotView(choice.operator, choice.width, slot.width)
            for choice, slot in zip(space.chosen(genome), space.spec.slots, strict=True)
        )

    def evolve(self) -> Evolution:
        """Decide and swap now, for the context as it is; a pin ends.

        Raises:
            EngineError: If the subnet cannot be prepared; the active one goes on, and so does a pin.
        """
        context = self._monitor.tick()
        evolution = self._evolver.evolve(Cause("operator", "an operator asked"), context, perf_counter())
        self._pinned = False
        return self._decided(evolution)

    def pin(self, subnet: str) -> Evolution:
        """Hold a subnet until `evolve`.

        Args:
            subnet: In text form.

        Raises:
            GenomeError: If there is no such subnet.
            EngineError: If it cannot be prepared; the active one goes on.
        """
        genome = self._bundle.space.parse(subnet)
        evolution = self._evolver.pin(genome, Cause("operator", "an operator pinned it"), self._clock())
        self._pinned = True
        return self._decided(evolution)

    def explain(self) -> Evolution:
        """The newest evolution: why the active subnet is the active one."""
        return self._last
