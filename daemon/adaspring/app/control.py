"""The control thread: sense, decide, evolve, answer operators; keeping tables and announcing are parts of their own."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import monotonic, perf_counter

import adaspring
from adaspring.app.announce import Announcer
from adaspring.app.commands import answer
from adaspring.app.counters import FrameCounters
from adaspring.app.decisions import DecisionLog
from adaspring.app.evolution import Evolution, Evolver
from adaspring.app.messages import Message, told
from adaspring.app.observe import Observer
from adaspring.app.status import Status, TablesView, measured, slot_views
from adaspring.app.totals import Tally
from adaspring.app.upkeep import TableKeeper
from adaspring.bundle import Bundle
from adaspring.context import Monitor
from adaspring.decide import Cause, Trigger
from adaspring.errors import AdaSpringError, ConfigError, EngineError
from adaspring.serve.control import ControlServer
from adaspring.serve.lane import Lane
from adaspring.serve.protocol import Event
from adaspring.serve.server import DataPlane

_log = logging.getLogger(__name__)

#: Evolutions kept for operators.
RECENT_EVOLUTIONS = 256


def next_due_s(due_s: float, now_s: float, interval_s: float) -> float:
    """When the next tick is due, if one was due then and is made now.

    Ticks keep their beat. Those that were missed (a suspended board) are not made up for.
    """
    beat_s = due_s + interval_s
    return beat_s if beat_s > now_s else now_s + interval_s


class ControlLoop:
    """Runs in the main thread until stopped; also what operators' commands act on.

    Attributes:
        again: Whether it ended in order to begin again with what is configured and installed now.
    """

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
        lane: Lane,
        control: ControlServer,
        keeper: TableKeeper,
        announcer: Announcer,
        first: Evolution,
        decisions: DecisionLog | None = None,
        check: Callable[[], None] = lambda: None,
        observers: Sequence[Observer] = (),
        boot_id: str = "",
        spin_us: float = 0.0,
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
            lane: The model in it.
            control: Where operators ask.
            keeper: Keeps the tables true that `evolver` decides from.
            announcer: Tells what happens to whoever listens.
            first: The evolution that chose the first subnet; it carries a decision.
            decisions: Where decisions are kept; None keeps none.
            check: Sees, before a reload, that the daemon could start with what is configured and installed now.
            observers: Look at the daemon after every look at the sensors.
            boot_id: Of the kernel.
            spin_us: How long the data plane may wait awake where power allows, in microseconds.
            clock: Monotonic, in seconds.
        """
        self._bundle = bundle
        self._device = device
        self._engine = engine
        self._interval_s = interval_s
        self._spin_us = spin_us
        self._monitor = monitor
        self._counters = counters
        self._trigger = trigger
        self._evolver = evolver
        self._data = data
        self._lane = lane
        self._control = control
        self._keeper = keeper
        self._announcer = announcer
        self._decisions = decisions
        self._check = check
        self._observers = observers
        self._boot_id = boot_id
        self._clock = clock
        self.again = False
        self._reload_asked = False
        self._started_s = clock()
        self._stopping = False
        self._pinned = False
        self._tally = Tally()
        self._recent: deque[Evolution] = deque(maxlen=RECENT_EVOLUTIONS)
        self._decided(first)
        self._shedding = False
        self._shed()

    def stop(self) -> None:
        """End the loop at its next turn; safe to call from a signal handler."""
        self._stopping = True
        self._control.wake()

    def ask_reload(self) -> None:
        """Reload at the next turn; safe to call from a signal handler."""
        self._reload_asked = True
        self._control.wake()

    def run(self) -> None:
        """Turn until stopped."""
        next_tick_s = self._clock() + self._interval_s
        next_ping_s = self._clock() + self._announcer.ping_s
        while not self._stopping:
            request = self._control.wait(max(0.0, min(next_tick_s, next_ping_s) - self._clock()))
            if request is not None:
                answer(self._control, request, self)
            if self._reload_asked:
                self._reload_asked = False
                with suppress(ConfigError):
                    self.reload()
            now_s = self._clock()
            if now_s >= next_tick_s:
                self._tick(now_s)
                next_tick_s = next_due_s(next_tick_s, now_s, self._interval_s)
            if now_s >= next_ping_s:
                self._announcer.ping(now_s)
                next_ping_s = now_s + self._announcer.ping_s

    def _tick(self, now_s: float) -> None:
        self._context = self._monitor.tick()
        seen_s = perf_counter()
        self._keeper.learn(self._context)
        spared = self._context.throttled is True or self._context.external_power is False
        self._data.spin(0.0 if spared else self._spin_us)
        cause = None if self._pinned else self._trigger.check(self._context, now_s)
        if cause is not None:
            self._try_evolve(cause, seen_s)
        else:
            self._evolver.warm_batches(self._lane.crowd())
        self._shed()
        self._tally.look(self._lane.measurements)
        self._announcer.sensed(self._context, self._monitor.readings["throttled"])
        self._tend_tables()
        for observer in self._observers:
            observer.observe(self)

    def _shed(self) -> None:
        emergency = self._trigger.emergency
        if emergency is not self._shedding:
            self._shedding = emergency
            self._data.shed(self._evolver.planner.policy.emergency_utilisation if emergency else None)

    def _try_evolve(self, cause: Cause, seen_s: float) -> None:
        try:
            self._decided(self._evolver.evolve(cause, self._context, seen_s))
        except EngineError as error:
            # The subnet that runs goes on, and the trigger asks again as after any decision.
            self._trigger.decided(self._context, self._budgets, self._clock())
            subnet = self._evolver.active.current.subnet.name
            self._tally.failed()
            self._announcer.failed(subnet, cause, error)

    def _decided(self, evolution: Evolution) -> Evolution:
        self._evolver.warm_batches(self._lane.crowd())
        decision = evolution.decision
        if decision is not None:
            self._context, self._budgets = decision.context, decision.budgets
            self._trigger.decided(decision.context, decision.budgets, self._clock())
            if self._decisions is not None:
                self._decisions.keep(decision, self._evolver.planner, at=evolution.at, boot_id=evolution.boot_id)
        self._recent.append(evolution)
        self._tally.evolved(evolution)
        self._announcer.evolved(evolution, self._evolver.planner, self._evolver.active.current.subnet.genome)
        return evolution

    def _tend_tables(self) -> None:
        cause = self._keeper.tend()
        if cause is None:
            return
        self._lane.batch_by(dict(self._evolver.planner.tables.facts.batch_curve))
        if not self._pinned:
            self._try_evolve(cause, perf_counter())

    # What operators ask for; see `app.commands`.

    def status(self) -> Status:
        """The daemon at this moment."""
        planner, generation = self._evolver.planner, self._evolver.active.current
        genome = generation.subnet.genome
        return Status(
            version=adaspring.__version__,
            model=self._bundle.manifest.name,
            bundle_version=self._bundle.manifest.version,
            device=self._device,
            engine=self._engine,
            boot_id=self._boot_id,
            uptime_s=self._clock() - self._started_s,
            subnet=generation.subnet.name,
            slots=slot_views(self._bundle.space, genome),
            generation=generation.number,
            pinned=self._pinned,
            profiling=planner.tables.facts.estimate and self._keeper.rebuilding,
            predicted=planner.predict(genome),
            full_energy_mj=planner.reference.energy_mj * planner.energy_factor,
            budgets=self._budgets,
            measured=measured(self._counters.recent_us()),
            latency_correction=planner.latency_correction_of(genome),
            context=self._context,
            readings=self._monitor.readings,
            tables=planner.tables.facts,
            requests=self._data.statistics(),
            evolutions=sum(self._tally.totals.evolutions.values()),
            last_evolution=self._recent[-1],
            totals=self._tally.totals,
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

    def tables(self) -> TablesView:
        """What is decided from, and how it was corrected."""
        return self._keeper.view()

    def explain(self) -> Evolution:
        """The newest evolution: why the active subnet is the active one."""
        return self._recent[-1]

    def decisions(self) -> list[Evolution]:
        """Recent evolutions, oldest first."""
        return list(self._recent)

    def snapshot(self) -> list[Event]:
        """The newest event of every topic that had one."""
        return self._announcer.newest()

    def reload(self) -> None:
        """Take what is configured and installed now, in the same process, once what waits is answered.

        Raises:
            ConfigError: If the daemon could not start with it; it goes on as it was.
        """
        try:
            self._check()
        except AdaSpringError as error:
            _log.error("reload refused, going on as before: %s", error, extra=told(Message.RELOAD_REFUSED))
            raise ConfigError(str(error)) from error
        self.start_over("a reload was asked for")

    def start_over(self, why: str) -> None:
        """See `Observed.start_over`."""
        _log.info("beginning again, because %s", why, extra=told(Message.RELOADED, cause=why))
        self.again = True
        self.stop()
