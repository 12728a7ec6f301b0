"""What the daemon tells unasked: events to subscribers, its state to the service manager, expectations to clients."""

from __future__ import annotations

import logging
from math import inf

from adaspring.app.evolution import Evolution
from adaspring.app.messages import Message, told
from adaspring.app.notify import Notifier
from adaspring.context.model import Context, Reading
from adaspring.decide import Cause, Planner
from adaspring.serve.events import EventPublisher
from adaspring.serve.lane import Lane
from adaspring.serve.protocol import Event
from adaspring.serve.server import DataPlane
from adaspring.space import Genome

_log = logging.getLogger(__name__)

#: A data thread that has not turned for this long is stuck (an idle one turns twice a second).
STUCK_S = 5.0
#: Pings within the time that the manager waits for one: a process that was stopped for a
#: third of it is forgiven, also where it was stopped just before a ping.
PINGS = 4


class Announcer:
    """Tells subscribers, the service manager, clients and the journal what happens."""

    def __init__(self, events: EventPublisher, notifier: Notifier, data: DataPlane, context: Context) -> None:
        """Wire an announcer.

        Args:
            events: Where evolutions and contexts are published.
            notifier: Tells the service manager.
            data: What it refuses is announced.
            context: At the start; throttling is announced when it changes from there on.
        """
        self._events = events
        self._notifier = notifier
        self._data = data
        self._expected: dict[str, str] = {}
        self._throttled = context.throttled
        self._rejected: dict[str, int] = {}

    @property
    def ping_s(self) -> float:
        """How often `ping` must be called, in seconds; infinite where the manager does not watch."""
        return inf if self._notifier.watchdog_s is None else self._notifier.watchdog_s / PINGS

    def ping(self, now_s: float) -> None:
        """Tell the manager that the daemon lives.

        Only while the data thread turns: a watchdog that is fed by the control thread alone guards nothing.

        Args:
            now_s: Monotonic, in seconds.
        """
        silent_s = now_s - self._data.statistics().last_progress_s
        if silent_s < STUCK_S:
            self._notifier.watchdog()
        else:
            _log.error("the data thread has not turned for %.0f s", silent_s, extra=told(Message.DATA_THREAD_STUCK))

    def evolved(self, evolution: Evolution, planner: Planner, genome: Genome, lane: Lane) -> None:
        """Announce an evolution.

        Args:
            evolution: What was done.
            planner: Expects something of the subnet.
            genome: The subnet that is active now.
            lane: Tells clients of the model what to expect.
        """
        self._events.publish("evolution", evolution)
        predicted = planner.predict(genome)
        self._expected[lane.model.name] = (
            f"{evolution.subnet}: expecting {predicted.accuracy_percent:.1f} % accuracy, "
            f"{predicted.latency_p95_us:.0f} us at the 95th percentile"
        )
        # What a single model is called adds nothing.
        named = [text if len(self._expected) == 1 else f"{name} {text}" for name, text in self._expected.items()]
        self._notifier.status("; ".join(named))
        facts = planner.tables.facts
        lane.extra = {
            "expected_accuracy_percent": predicted.accuracy_percent,
            "expected_latency_p95_us": predicted.latency_p95_us,
            "expected_energy_mj": predicted.energy_mj,
            "tables": {
                "version": facts.version,
                "created": facts.created,
                "device": facts.device,
                "engine": facts.engine,
                "estimate": facts.estimate,
            },
        }
        if evolution.swapped:
            _log.info(
                "generation %d of %s: %s in %.1f ms, because %s",
                evolution.generation,
                lane.model.name,
                evolution.subnet,
                evolution.total_us / 1e3,
                evolution.cause.sentence,
                extra=told(
                    Message.SUBNET_CHANGED,
                    model=lane.model.name,
                    subnet=evolution.subnet,
                    cause=evolution.cause.kind,
                    generation=evolution.generation,
                    total_us=round(evolution.total_us),
                ),
            )

    def failed(self, model: str, subnet: str, cause: Cause, error: Exception) -> None:
        """Announce an evolution that failed.

        Args:
            model: Name of the model.
            subnet: The subnet that goes on, in text form.
            cause: What triggered the evolution.
            error: What it failed of.
        """
        extra = told(Message.EVOLUTION_FAILED, model=model, subnet=subnet, cause=cause.kind)
        _log.error("evolution failed, %s of %s goes on: %s", subnet, model, error, extra=extra)
        self._events.publish("failure", {"model": model, "subnet": subnet, "error": str(error)})

    def sensed(self, context: Context, throttled: Reading) -> None:
        """Announce a context, and throttling and refused requests where they changed.

        Args:
            context: After a look at the sensors.
            throttled: The reading that the context's `throttled` comes from.
        """
        self._events.publish("context", context)
        self._tell_throttling(context, throttled)
        self._tell_rejections()

    def newest(self) -> list[Event]:
        """The newest event of every topic that had one."""
        return list(self._events.newest.values())

    def _tell_throttling(self, context: Context, reading: Reading) -> None:
        if context.throttled is not self._throttled:
            self._throttled = context.throttled
            facts = {"throttled": context.throttled, "source": reading.source, "reason": reading.reason}
            self._events.publish("throttle", facts)
            _log.warning("throttled: %s", context.throttled, extra=told(Message.THROTTLED, **facts))

    def _tell_rejections(self) -> None:
        rejected = self._data.statistics().rejected
        new = {reason: count for reason, count in rejected.items() if count > self._rejected.get(reason, 0)}
        if new:
            self._events.publish("reject", new)
        self._rejected = rejected
