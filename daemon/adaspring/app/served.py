"""One of the models that are served, as the control thread has it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import msgspec

from adaspring.app.counters import FrameCounters
from adaspring.app.decisions import DecisionLog
from adaspring.app.evolution import Evolution, Evolver
from adaspring.app.observe import Observer
from adaspring.app.totals import Tally
from adaspring.app.upkeep import TableKeeper
from adaspring.bundle import Bundle
from adaspring.context.model import Context
from adaspring.context.smoothing import EventActivity, EventRate, MovingAverage, Smoothing
from adaspring.decide import DEFAULT_PRIORITY, Member, Trigger
from adaspring.serve.lane import Lane

#: Evolutions kept for operators.
RECENT_EVOLUTIONS = 256
#: Causes with which an emergency begins and ends.
EMERGENCIES = ("emergency", "recovery")


class Served:
    """A model and all that is kept of it.

    Attributes:
        name: As clients name it.
        priority: 1 is the highest.
        bundle: The bundle.
        lane: The model in the data plane.
        evolver: Moves its subnet.
        counters: Its recent frames.
        trigger: When to decide anew for its sake.
        keeper: Keeps the tables true that `evolver` decides from.
        decisions: Where its decisions are kept; None keeps none.
        observers: Look at it after every look at the sensors.
        recent: Its evolutions, oldest first.
        tally: What adds up.
        pinned: Whether an operator holds its subnet.
        context: What the device is going through, with its own frames.
        budgets: Of its last decision.
        first: The evolution that chose its first subnet.
    """

    def __init__(
        self,
        *,
        bundle: Bundle,
        lane: Lane,
        evolver: Evolver,
        counters: FrameCounters,
        trigger: Trigger,
        keeper: TableKeeper,
        first: Evolution,
        priority: int = DEFAULT_PRIORITY,
        decisions: DecisionLog | None = None,
        observers: Sequence[Observer] = (),
    ) -> None:
        """Gather what belongs to a model; arguments are the attributes.

        Args:
            bundle: See the class.
            lane: See the class.
            evolver: See the class.
            counters: See the class.
            trigger: See the class.
            keeper: See the class.
            first: The evolution that chose its first subnet; it carries a decision.
            priority: See the class.
            decisions: See the class.
            observers: See the class.
        """
        self.name = bundle.manifest.name
        self.priority = priority
        self.bundle = bundle
        self.lane = lane
        self.evolver = evolver
        self.counters = counters
        self.trigger = trigger
        self.keeper = keeper
        self.decisions = decisions
        self.observers = tuple(observers)
        self.recent: deque[Evolution] = deque(maxlen=RECENT_EVOLUTIONS)
        self.tally = Tally()
        self.pinned = False
        self.first = first
        self._senses = FrameSenses(counters)

    def sense(self, device: Context, *, alone: bool) -> None:
        """Take in what the device is going through.

        Args:
            device: With the frames of all models.
            alone: Whether there is no other model.
        """
        self.context = device if alone else self._senses.seen(device)

    def decided(self, evolution: Evolution, now_s: float) -> None:
        """Take in an evolution, at a time of the monotonic clock in seconds."""
        self.evolver.warm_batches(self.lane.crowd())
        decision = evolution.decision
        if decision is not None:
            self.context, self.budgets = decision.context, decision.budgets
            self.trigger.decided(decision.context, decision.budgets, now_s)
            if self.decisions is not None:
                self.decisions.keep(decision, self.evolver.planner, at=evolution.at, boot_id=evolution.boot_id)
        self.recent.append(evolution)
        self.tally.evolved(evolution)

    def hold(self, now_s: float) -> None:
        """Follow emergencies while an operator holds the subnet: they decide nothing then, but load is shed in them."""
        cause = self.trigger.check(self.context, now_s) if self.pinned else None
        if cause is not None and cause.kind in EMERGENCIES:
            self.trigger.decided(self.context, self.budgets, now_s)

    def failed(self, now_s: float) -> None:
        """Take in that an evolution failed: the subnet that runs goes on, and the trigger asks again as after any."""
        self.trigger.decided(self.context, self.budgets, now_s)
        self.tally.failed()

    def member(self) -> Member:
        """The model as it takes part in a decision about several."""
        genome = self.evolver.active.current.subnet.genome
        return Member(self.name, self.priority, self.evolver.planner, self.context, genome, self.pinned)


class FrameSenses:
    """What one of several models sees of a device: the readings of all, and frames of its own."""

    def __init__(self, counters: FrameCounters, smoothing: Smoothing = Smoothing()) -> None:  # noqa: B008 - frozen
        """Watch the frames of a model.

        Args:
            counters: Of the model.
            smoothing: Time constants.
        """
        self._counters = counters
        self._rate = EventRate(smoothing.event_rate_s)
        self._activity = EventActivity(smoothing.event_rate_s)
        self._queue = MovingAverage(smoothing.queue_s)

    def seen(self, device: Context) -> Context:
        """The context of the model, in that of the device."""
        counters, now_s = self._counters, device.at_s
        own = {
            "event_rate_hz": self._rate.update(counters.received, now_s),
            "event_state": self._activity.update(counters.received, now_s),
            "latency_p95_us": counters.latency_p95_us,
            "queue_depth": self._queue.update(float(counters.queue_depth), now_s),
            "deadline_us": counters.deadline_us,
        }
        why = {
            "event_rate_hz": "a rate takes two looks",
            "latency_p95_us": "the active subnet has answered too few frames",
            "deadline_us": "no recent frame had a deadline",
        }
        reasons = {name: reason for name, reason in device.reasons.items() if name not in own}
        reasons |= {name: reason for name, reason in why.items() if own[name] is None}
        return msgspec.structs.replace(device, **own, reasons=reasons)
