"""The control thread: sense, decide, evolve, answer operators; keeping tables and announcing are parts of their own."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import monotonic, perf_counter

from adaspring.app.announce import Announcer
from adaspring.app.commands import answer
from adaspring.app.evolution import Evolution
from adaspring.app.group import ModelGroup, Swap
from adaspring.app.messages import Message, told
from adaspring.app.observe import AllObserver
from adaspring.app.served import Served
from adaspring.app.status import Status
from adaspring.app.views import Views
from adaspring.context import Monitor
from adaspring.context.model import Context
from adaspring.decide import Cause
from adaspring.errors import AdaSpringError, ConfigError, EngineError
from adaspring.scheduling import giving_way
from adaspring.serve.control import ControlServer
from adaspring.serve.protocol import Event
from adaspring.serve.server import DataPlane

_log = logging.getLogger(__name__)


def next_due_s(due_s: float, now_s: float, interval_s: float) -> float:
    """When the next tick is due, if one was due then and is made now.

    Ticks keep their beat. Those that were missed (a suspended board) are not made up for.
    """
    beat_s = due_s + interval_s
    return beat_s if beat_s > now_s else now_s + interval_s


class ControlLoop:
    """Runs in the main thread until stopped; also what operators' commands act on.

    Attributes:
        views: What operators and observers see.
        again: Whether it ended in order to begin again with what is configured and installed now.
    """

    def __init__(
        self,
        *,
        models: Sequence[Served],
        device: str,
        engine: str,
        interval_s: float,
        monitor: Monitor,
        data: DataPlane,
        control: ControlServer,
        announcer: Announcer,
        seed: int = 0,
        check: Callable[[], None] = lambda: None,
        observers: Sequence[AllObserver] = (),
        boot_id: str = "",
        spin_us: float = 0.0,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """Wire the loop.

        Args:
            models: The models that are served, the highest priority first.
            device: Name of the device profile.
            engine: Name of the engine.
            interval_s: Time between two looks at the sensors, in seconds.
            monitor: Sensors to context.
            data: The data plane.
            control: Where operators ask.
            announcer: Tells what happens to whoever listens.
            seed: Seed of decisions about several models.
            check: Sees, before a reload, that the daemon could start with what is configured and installed now.
            observers: Look at the daemon after every look at the sensors.
            boot_id: Of the kernel.
            spin_us: How long the data plane may wait awake where power allows, in microseconds.
            clock: Monotonic, in seconds.
        """
        self._models = ModelGroup(models, seed)
        self.views = Views(self._models, monitor, data, device=device, engine=engine, boot_id=boot_id, clock=clock)
        self._interval_s = interval_s
        self._spin_us = spin_us
        self._monitor = monitor
        self._data = data
        self._control = control
        self._announcer = announcer
        self._check = check
        self._observers = observers
        self._clock = clock
        self.again = False
        self._reload_asked = False
        self._stopping = False
        for served in models:
            self._decided(served, served.first)
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
        """Turn until stopped, giving way to the threads that carry frames."""
        with giving_way():
            self._turn()

    def _turn(self) -> None:
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
        device = self._monitor.tick()
        seen_s = perf_counter()
        self._models.sense(device)
        for served in self._models:
            served.keeper.learn(served.context)
        spared = device.throttled is True or device.external_power is False
        self._data.spin(0.0 if spared else self._spin_us)
        cause = self._models.cause(now_s)
        if cause is not None:
            self._try_evolve(cause, device, seen_s)
        else:
            for served in self._models:
                served.evolver.warm_batches(served.lane.crowd())
        self._shed()
        self._announcer.sensed(device, self._monitor.readings["throttled"])
        self._tend_tables(device)
        for served in self._models:
            served.tally.look(served.lane.measurements)
            for observer in served.observers:
                observer.observe(_OneModel(self, served.name))
        for watcher in self._observers:
            watcher.observe(self.views)

    def _shed(self) -> None:
        emergency = self._models.emergency
        if emergency is not self._shedding:
            self._shedding = emergency
            policy = self._models.named(None).evolver.planner.policy
            self._data.shed(policy.emergency_utilisation if emergency else None)

    def _try_evolve(self, cause: Cause, device: Context, seen_s: float) -> None:
        for served, swap in self._models.decide(cause, device, seen_s):
            error = self._try_swap(served, swap)
            if error is not None:
                served.failed(self._clock())
                subnet = served.evolver.active.current.subnet.name
                self._announcer.failed(served.name, subnet, cause, error)

    def _try_swap(self, served: Served, swap: Swap) -> EngineError | None:
        """Swap a model; what that failed of, where it did."""
        try:
            self._decided(served, swap())
        except EngineError as error:
            return error
        return None

    def _decided(self, served: Served, evolution: Evolution) -> Evolution:
        served.decided(evolution, self._clock())
        subnet = served.evolver.active.current.subnet
        self._announcer.evolved(evolution, served.evolver.planner, subnet.genome, served.lane)
        return evolution

    def _tend_tables(self, device: Context) -> None:
        for served in self._models:
            others = (other.keeper.rebuilding for other in self._models if other is not served)
            cause = served.keeper.tend(may_begin=not any(others))
            if cause is None:
                continue
            served.lane.batch_by(dict(served.evolver.planner.tables.facts.batch_curve))
            if not served.pinned:
                self._try_evolve(cause, device, perf_counter())

    # What operators ask for; see `app.commands`.

    def evolve(self, model: str | None = None) -> Evolution:
        """Decide and swap now, for the context as it is; pins end: that of the model that is named, or all.

        Returns:
            The evolution of that model, or of the one of the highest priority.

        Raises:
            ConfigError: If no such model is served.
            EngineError: If a subnet cannot be prepared; the active one goes on, and so does its pin. The other models
                change all the same.
        """
        wanted = self._models.named(model)
        released = [wanted] if model else list(self._models)
        device = self._monitor.tick()
        self._models.sense(device)
        pinned = [served for served in released if served.pinned]
        for served in pinned:
            served.pinned = False
        swaps = self._models.decide(Cause("operator", "an operator asked"), device, perf_counter())
        failed = [(served, error) for served, swap in swaps if (error := self._try_swap(served, swap))]
        for served, _ in failed:
            served.pinned = served in pinned
        if failed:
            raise failed[0][1]
        return wanted.recent[-1]

    def pin(self, subnet: str, model: str | None = None) -> Evolution:
        """Hold a subnet until `evolve`.

        Args:
            subnet: In text form.
            model: Whose it is; None for the only model.

        Raises:
            ConfigError: If no such model is served, or several and none is named.
            GenomeError: If there is no such subnet.
            EngineError: If it cannot be prepared; the active one goes on.
        """
        if model is None and len(self._models) > 1:
            raise ConfigError(f"several models are served; name one of {', '.join(self._models.names)}")
        served = self._models.named(model)
        genome = served.bundle.space.parse(subnet)
        evolution = served.evolver.pin(genome, Cause("operator", "an operator pinned it"), self._clock())
        served.pinned = True
        return self._decided(served, evolution)

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


class _OneModel:
    """The loop as an observer of one model sees it; see `Observed`."""

    def __init__(self, loop: ControlLoop, model: str) -> None:
        self._loop = loop
        self._model = model

    def status(self) -> Status:
        return self._loop.views.status(self._model)

    def start_over(self, why: str) -> None:
        self._loop.start_over(why)
