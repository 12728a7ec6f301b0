from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, TypeAlias

import msgspec
import numpy as np
import pytest

from adaspring.app.announce import STUCK_S
from adaspring.app.background import BackgroundProfiler
from adaspring.app.counters import LEAST_FRAMES, FrameCounters
from adaspring.app.evolution import Evolution
from adaspring.app.status import Status
from adaspring.bundle import Bundle
from adaspring.client import ControlClient, Event, EventSubscriber
from adaspring.decide import Planner
from adaspring.engine import SubnetCache
from adaspring.engine.onnx.engine import OnnxEngine
from adaspring.errors import InternalError, InvalidArgumentError, UnavailableError
from adaspring.tables import DeviceTables
from tests.app.waiting import eventually

if TYPE_CHECKING:
    from tests.app.conftest import Board, FaultyEngine, RunningLoop

Run: TypeAlias = "Callable[..., RunningLoop]"

X = np.random.default_rng(0).standard_normal((3, 32), dtype=np.float32)


def status_of(control: ControlClient) -> Status:
    """As `adaspringctl` reads it."""
    return msgspec.convert(control.call("status"), Status)


def next_event(events: EventSubscriber, topic: str) -> Event:
    """The next one of a topic."""
    for event in events:
        if event.topic == topic:
            return event
    raise AssertionError(f"no event {topic} came")


def next_event_of_any(events: EventSubscriber) -> Event:
    """The next event, whatever it is about."""
    event = events.receive(10.0)
    assert event is not None
    return event


def evolution_in(event: Event, kind: str) -> Evolution | None:
    """The evolution of a kind that an event tells of; None where it tells of something else."""
    evolution = msgspec.convert(event.data, Evolution) if event.topic == "evolution" else None
    return evolution if evolution is not None and evolution.cause.kind == kind else None


def next_evolution(events: EventSubscriber, kind: str) -> Evolution:
    """The next one of a cause."""
    while True:
        evolution = msgspec.convert(next_event(events, "evolution").data, Evolution)
        if evolution.cause.kind == kind:
            return evolution


def test_status_tells_everything(run_loop: Run, small_bundle: Bundle, engine: OnnxEngine, board: Board) -> None:
    """Model, device, subnet slot by slot, context with sources, tables, counters and the last evolution."""
    running = run_loop()
    with running.control() as control:
        status = status_of(control)
    assert ("toy", "1", "generic-x86_64", engine.name) == (
        status.model,
        status.bundle_version,
        status.device,
        status.engine,
    )
    active = running.evolver.active.current
    assert (active.subnet.name, active.number) == (status.subnet, status.generation)
    widths = [slot.width for slot in small_bundle.manifest.space.slots]
    assert widths == [slot.full_width for slot in status.slots]
    chosen = small_bundle.space.chosen(active.subnet.genome)
    assert [(choice.operator, choice.width) for choice in chosen] == [
        (slot.operator, slot.width) for slot in status.slots
    ]
    assert status.predicted.energy_mj <= status.full_energy_mj
    assert (status.measured.frames, status.measured.latency_p95_us) == (0, None)
    assert (90.0, 45.0, False) == (
        status.context.battery_percent,
        status.context.temperature_c,
        status.context.throttled,
    )
    assert status.readings["battery_percent"].source == "BAT0"
    assert status.tables.estimate
    assert not status.pinned
    assert not status.profiling
    assert (1, "start", "") == (
        status.evolutions,
        status.last_evolution.cause.kind,
        status.last_evolution.from_subnet,
    )
    assert board.root.is_dir()


def test_frames_are_measured_and_latency_is_learned(run_loop: Run) -> None:
    """Recent frames of the active subnet give percentiles, a rate, and a correction of the table."""
    running = run_loop()
    with running.client() as client, running.control() as control:
        for _ in range(LEAST_FRAMES + 5):
            result = client.infer(X)
        assert result.subnet == running.evolver.active.current.subnet.name
        assert eventually(lambda: status_of(control).context.latency_p95_us is not None)
        status = status_of(control)
        metadata = client.meta().parameters
    assert LEAST_FRAMES + 5 == status.measured.frames == status.requests.answered
    measured = status.measured
    assert measured.latency_p20_us is not None
    assert measured.latency_p50_us is not None
    assert measured.latency_p95_us is not None
    assert 0 < measured.latency_p20_us <= measured.latency_p50_us <= measured.latency_p95_us
    assert 20_000.0 == measured.asked_us
    assert measured.late_percent is not None
    assert 0 <= measured.late_percent <= 100
    assert status.latency_correction != 1.0
    assert status.context.event_rate_hz is not None
    assert "expected_latency_p95_us" in str(metadata)


def test_a_change_of_context_evolves_and_is_told(run_loop: Run, board: Board) -> None:
    """Battery, power, heat and throttling each lead to an evolution that names its cause with figures."""
    running = run_loop()
    with running.events() as events, running.control() as control:
        board.show(battery_percent=10.0)
        assert next_evolution(events, "battery").cause.sentence == "battery went from 90 to 10 %"
        board.show(battery_percent=10.0, throttled=True, clock_mhz=1000.0)
        emergency = next_evolution(events, "emergency")
        assert emergency.cause.sentence == "the processor is throttled"
        assert emergency.decision is not None
        assert emergency.decision.budgets.lambda_energy == 1.0
        board.show(battery_percent=10.0)
        assert next_evolution(events, "recovery").cause.kind == "recovery"
        board.show(battery_percent=10.0, plugged=True)
        powered = next_evolution(events, "power")
        assert powered.swapped
        assert status_of(control).subnet == powered.subnet


def test_an_emergency_is_answered_within_two_looks_and_sheds_load(run_loop: Run, board: Board) -> None:
    """The least energy there is runs before a second look is told; frames beyond their share come again later."""
    running = run_loop()
    with running.events() as events, running.control() as control, running.client() as client:
        client.infer(X)
        board.show(battery_percent=90.0, throttled=True, clock_mhz=1000.0)
        looks = 0
        while (emergency := evolution_in(event := next_event_of_any(events), "emergency")) is None:
            looks += event.topic == "context" and event.data["throttled"] is True
        assert looks < 2
        assert emergency.decision is not None
        assert emergency.decision.feasible
        assert emergency.decision.budgets.lambda_energy == 1.0

        batch = np.repeat(X[None], 32, axis=0)

        def is_shed() -> bool:
            with suppress(UnavailableError):
                client.infer(batch)
            return status_of(control).requests.rejected["shed"] > 0

        assert eventually(is_shed, within_s=60.0)
        board.show(battery_percent=90.0)
        next_evolution(events, "recovery")
        shed = status_of(control).requests.rejected["shed"]
        for _ in range(50):
            client.infer(X)
        assert shed == status_of(control).requests.rejected["shed"]


def test_throttling_is_an_event_of_its_own(run_loop: Run, board: Board) -> None:
    """Told when it begins and when it ends, with who says so, and not in between."""
    with run_loop().events() as events:
        board.show(throttled=True, clock_mhz=1000.0)
        begun = next_event(events, "throttle")
        for _ in range(3):
            next_event(events, "context")
        board.show()
        ended = next_event(events, "throttle")
    assert (True, False) == (begun.data["throttled"], ended.data["throttled"])
    assert "cpufreq" in begun.data["source"]
    assert begun.sequence + 1 == ended.sequence


def test_refused_requests_are_an_event(run_loop: Run) -> None:
    """Each reason is told with its count when it grows, and not again."""
    running = run_loop()
    with running.events() as events, running.client() as client:
        for count in (1, 2):
            with pytest.raises(InvalidArgumentError):
                client.infer(X[:, :5])
            event = next_event(events, "reject")
            assert ({"shape": count}, count) == (event.data, event.sequence)
            for _ in range(3):
                next_event(events, "context")


def test_context_is_published_at_every_look(run_loop: Run) -> None:
    """Subscribers see what the daemon sees, gap-free."""
    with run_loop().events() as events:
        first, second = next_event(events, "context"), next_event(events, "context")
    assert first.sequence + 1 == second.sequence
    assert first.data["battery_percent"] == 90.0


def test_pin_holds_against_every_change(run_loop: Run, board: Board, small_bundle: Bundle) -> None:
    """A pinned subnet stays whatever happens, and explains itself by the operator, until the search may decide."""
    running = run_loop()
    name = small_bundle.space.format(small_bundle.space.full())
    with running.control() as control:
        pinned = msgspec.convert(control.call("pin", subnet=name), Evolution)
        assert (name, None) == (pinned.subnet, pinned.decision)
        board.show(throttled=True, clock_mhz=1000.0)
        assert eventually(lambda: status_of(control).context.throttled is True)
        time.sleep(0.1)
        status = status_of(control)
        assert (name, True, 2) == (status.subnet, status.pinned, status.evolutions)
        assert msgspec.convert(control.call("explain"), Evolution) == pinned
        released = msgspec.convert(control.call("unpin"), Evolution)
        assert name != released.subnet
        assert not status_of(control).pinned
        assert msgspec.convert(control.call("explain"), Evolution).cause.kind == "operator"


@pytest.mark.parametrize("when", ["before", "in"])
def test_a_pinned_subnet_sheds_load_in_an_emergency_and_not_behind_it(run_loop: Run, board: Board, when: str) -> None:
    """Whether it was pinned before the emergency or in it, load is shed while it lasts and until calm has lasted."""
    running = run_loop()
    batch = np.repeat(X[None], 32, axis=0)
    with running.control() as control, running.client() as client:

        def is_shed() -> bool:
            """Whether one of so many requests as keep the engine busy is turned away."""
            before = status_of(control).requests.rejected["shed"]
            for _ in range(20):
                with suppress(UnavailableError):
                    client.infer(batch)
            return status_of(control).requests.rejected["shed"] > before

        if when == "before":
            control.call("pin", subnet=status_of(control).subnet)
            assert not is_shed()
        board.show(throttled=True, clock_mhz=1000.0)
        assert eventually(is_shed, within_s=60.0)
        if when == "in":
            control.call("pin", subnet=status_of(control).subnet)
        pinned = status_of(control)
        assert is_shed()
        board.show()
        assert eventually(lambda: not is_shed(), within_s=60.0)
        status = status_of(control)
    assert (pinned.subnet, True, pinned.evolutions) == (status.subnet, status.pinned, status.evolutions)


@pytest.mark.parametrize("subnet", ["", "f32:c16", "f32:c16.c16.c32.c7", "f32:c16.c16.c32.c" + "9" * 5000])
def test_impossible_pin_is_refused_and_harmless(run_loop: Run, subnet: str) -> None:
    """What names no subnet changes nothing, however long its number is."""
    with run_loop().control() as control:
        before = status_of(control)
        with pytest.raises(InvalidArgumentError):
            control.call("pin", subnet=subnet)
        after = status_of(control)
    assert (before.subnet, False, 1) == (after.subnet, after.pinned, after.evolutions)


def test_failed_evolution_keeps_serving(
    run_loop: Run, board: Board, faulty_engine: FaultyEngine, caplog: pytest.LogCaptureFixture
) -> None:
    """An engine that fails costs an error in the journal and a refusal; subnet, pin and frames go on."""
    running = run_loop(SubnetCache(faulty_engine, 4))
    with running.control() as control, running.client() as client, running.events() as events:
        before = status_of(control)
        faulty_engine.broken = True
        board.show(battery_percent=5.0)
        failure = next_event(events, "failure")
        assert (before.subnet, "there is no memory left") == (failure.data["subnet"], failure.data["error"])
        assert any("evolution failed" in record.message for record in caplog.records)
        with pytest.raises(InternalError, match="no memory left"):
            control.call("evolve")
        assert before.subnet == client.infer(X).subnet == status_of(control).subnet
        control.call("pin", subnet=before.subnet)
        with pytest.raises(InternalError, match="no memory left"):
            control.call("unpin")
        assert status_of(control).pinned
        faulty_engine.broken = False
        control.call("unpin")
        assert before.subnet != status_of(control).subnet
    assert logging.ERROR == max(record.levelno for record in caplog.records)


def test_watchdog_is_fed_while_both_threads_turn(run_loop: Run) -> None:
    """Twice as often as the manager asks, however seldom the sensors are looked at."""
    running = run_loop(interval_s=60.0)
    assert eventually(lambda: running.told.count("WATCHDOG=1") >= 3)
    assert running.told[0].startswith("STATUS=f32:")


def test_watchdog_is_not_fed_while_the_data_thread_is_stuck(run_loop: Run) -> None:
    """A daemon whose frames are not answered gets no life from its control thread."""
    running = run_loop(clock=lambda: time.monotonic() + 2 * STUCK_S)
    with running.events() as events:
        for _ in range(5):
            next_event(events, "context")
    assert "WATCHDOG=1" not in running.told


def profiler_that_ends(make_profiler: Callable[..., BackgroundProfiler], command: str) -> BackgroundProfiler:
    """One that is over at once, well or not; `test_background` has it measure."""
    profiler = make_profiler()
    profiler._commands = {"profile": [command], "atlas": [command]}
    return profiler


def test_measured_tables_are_adopted(
    run_loop: Run,
    make_profiler: Callable[..., BackgroundProfiler],
    make_planner: Callable[..., Planner],
    as_measured: DeviceTables,
) -> None:
    """Once profiling in the background is done, decisions follow from what was measured, beginning with one."""
    profiler = profiler_that_ends(make_profiler, "true")
    running = run_loop(background=profiler, replan=lambda: make_planner(tables=as_measured))
    with running.control() as control, running.events() as events:
        assert status_of(control).tables.estimate
        profiler.start()
        assert next_evolution(events, "tables").cause.sentence == "measured tables replace the estimate"
        status = status_of(control)
    assert (False, False) == (status.profiling, status.tables.estimate)


def test_pinned_subnet_outlives_new_tables(
    run_loop: Run,
    make_profiler: Callable[..., BackgroundProfiler],
    make_planner: Callable[..., Planner],
    as_measured: DeviceTables,
) -> None:
    """New tables are adopted, and what an operator holds is held."""
    profiler = profiler_that_ends(make_profiler, "true")
    running = run_loop(background=profiler, replan=lambda: make_planner(tables=as_measured))
    with running.control() as control:
        pinned = control.call("pin", subnet=status_of(control).subnet)
        profiler.start()
        assert eventually(lambda: not status_of(control).tables.estimate)
        status = status_of(control)
    assert (pinned["subnet"], True, "operator") == (status.subnet, status.pinned, status.last_evolution.cause.kind)


@pytest.mark.parametrize(("command", "message"), [("false", "ended with 1"), ("true", "no tables that can be used")])
def test_without_measured_tables_the_estimate_stays(
    run_loop: Run,
    make_profiler: Callable[..., BackgroundProfiler],
    command: str,
    message: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Profiling that leaves nothing to use is over, is logged once, and changes nothing."""
    profiler = profiler_that_ends(make_profiler, command)
    with run_loop(background=profiler).control() as control:
        profiler.start()
        assert eventually(lambda: bool(caplog.records))
        time.sleep(0.1)
        status = status_of(control)
    assert (False, True) == (status.profiling, status.tables.estimate)
    assert status.last_evolution.cause.kind != "tables"
    [record] = caplog.records
    assert logging.ERROR == record.levelno
    assert message in record.message


def test_counters_stand_at_nothing_before_there_is_a_subnet() -> None:
    """The first context is sensed before anything serves."""
    counters = FrameCounters()
    assert (0, None, 0) == (counters.received, counters.latency_p95_us, len(counters.recent_us()))
