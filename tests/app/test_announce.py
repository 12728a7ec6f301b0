from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from math import inf
from pathlib import Path
from typing import TypeAlias

import pytest
import zmq

from adaspring.app.announce import PINGS, STUCK_S, Announcer
from adaspring.app.evolution import Evolver
from adaspring.app.notify import Notifier
from adaspring.app.signature import signature
from adaspring.bundle import Bundle
from adaspring.context.model import Context, Reading
from adaspring.decide import Cause, Planner
from adaspring.engine import SubnetCache
from adaspring.engine.onnx.engine import OnnxEngine
from adaspring.serve.endpoint import DATA_MODE, claim
from adaspring.serve.events import EventPublisher
from adaspring.serve.lane import Lane
from adaspring.serve.server import DataPlane

Announce: TypeAlias = "Callable[[Notifier], Announcer]"

CALM = Context(at_s=0.0, throttled=False)


@pytest.fixture
def evolver(small_bundle: Bundle, engine: OnnxEngine, make_planner: Callable[..., Planner]) -> Evolver:
    """One that has chosen its first subnet."""
    cache = SubnetCache(engine, 4)
    made, _ = Evolver.begin(small_bundle.space, make_planner(), cache, CALM, seed=0, wall=lambda: "now")
    return made


@pytest.fixture
def opened(
    socket_folder: Path, small_bundle: Bundle, evolver: Evolver
) -> Iterator[tuple[DataPlane, Lane, EventPublisher]]:
    """A data plane that does not run, its model, and a publisher."""
    with ExitStack() as stack:
        infer, events = (
            stack.enter_context(claim(f"ipc://{socket_folder}/{name}.sock", mode=DATA_MODE))
            for name in ("infer", "events")
        )
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        stack.callback(context.term)
        lane = Lane(signature(small_bundle, None), evolver.active)
        plane = DataPlane(context, infer, [lane])
        stack.callback(plane.close)
        publisher = EventPublisher(context, events)
        stack.callback(publisher.close)
        yield plane, lane, publisher


@pytest.fixture
def announce(opened: tuple[DataPlane, Lane, EventPublisher]) -> Announce:
    """Makes announcers that began in the calm."""
    plane, _, publisher = opened
    return lambda notifier: Announcer(publisher, notifier, plane, CALM)


def test_an_evolution_is_told_to_everyone(
    announce: Announce, opened: tuple[DataPlane, Lane, EventPublisher], evolver: Evolver, small_bundle: Bundle
) -> None:
    """Subscribers get it whole, the manager a line, clients what to expect."""
    heard: list[str] = []
    announcer = announce(Notifier(heard.append, None))
    genome = small_bundle.space.full()
    evolution = evolver.pin(genome, Cause("operator", "an operator pinned it"), 1.0)
    announcer.evolved(evolution, evolver.planner, genome, opened[1])
    [event] = announcer.newest()
    assert ("evolution", evolution) == (event.topic, event.data)
    predicted = evolver.planner.predict(genome)
    assert [f"STATUS={evolution.subnet}: expecting {predicted.accuracy_percent:.1f} % accuracy"] == [
        line.partition(",")[0] for line in heard
    ]
    assert predicted.latency_p95_us == opened[1].extra["expected_latency_p95_us"]


def test_a_failure_is_an_event_and_an_error(announce: Announce, caplog: pytest.LogCaptureFixture) -> None:
    """Both name the subnet that goes on and what was the matter."""
    announcer = announce(Notifier(None, None))
    announcer.failed("toy", "f32:c16", Cause("battery", "battery fell"), RuntimeError("there is no memory left"))
    [event] = announcer.newest()
    assert ("failure", {"model": "toy", "subnet": "f32:c16", "error": "there is no memory left"}) == (
        event.topic,
        event.data,
    )
    assert ["evolution failed, f32:c16 of toy goes on: there is no memory left"] == caplog.messages


def test_throttling_is_told_when_it_changes(announce: Announce) -> None:
    """Contexts are told at every look, throttling only from the first that differs from the start."""
    announcer = announce(Notifier(None, None))
    reading = Reading(True, "cpufreq", "")
    told = []
    for throttled in (False, True, True, None):
        announcer.sensed(Context(at_s=1.0, throttled=throttled), reading)
        told.append({event.topic: event.sequence for event in announcer.newest()})
    first = told[0]["context"]
    assert [first, first + 1, first + 2, first + 3] == [each["context"] for each in told]
    assert "throttle" not in told[0]
    begun = told[1]["throttle"]
    assert [begun, begun, begun + 1] == [each["throttle"] for each in told[1:]]


def test_the_watchdog_is_fed_only_while_the_data_thread_turns(
    announce: Announce, opened: tuple[DataPlane, EventPublisher], caplog: pytest.LogCaptureFixture
) -> None:
    """A daemon whose frames are not answered gets no life from its control thread, and says so."""
    heard: list[str] = []
    announcer = announce(Notifier(heard.append, 20.0))
    turned_s = opened[0].statistics().last_progress_s
    announcer.ping(turned_s + STUCK_S / 2)
    assert ["WATCHDOG=1"] == heard
    announcer.ping(turned_s + STUCK_S)
    assert ["WATCHDOG=1"] == heard
    assert ["the data thread has not turned for 5 s"] == caplog.messages


def test_pings_are_as_frequent_as_the_manager_asks(announce: Announce) -> None:
    """Several within its time; none where it does not watch."""
    assert announce(Notifier(None, 20.0)).ping_s == 20.0 / PINGS
    assert announce(Notifier(None, None)).ping_s == inf
