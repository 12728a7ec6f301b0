"""A running daemon whose device sleeps, and whose wall clock is set while it serves."""

from __future__ import annotations

import os
import signal
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adaspring.app.control import next_due_s
from adaspring.app.evolution import Evolution
from adaspring.app.status import TablesView
from adaspring.cli.process import DaemonProcess
from adaspring.client import ControlClient, Event, EventSubscriber
from adaspring.context import Context
from adaspring.tables import EXPIRES_S

if TYPE_CHECKING:
    from tests.app.conftest import Board

X = np.random.default_rng(0).standard_normal((3, 32), dtype=np.float32)
#: How long the device sleeps by its clock, and by that of the test.
ASLEEP_S, STOPPED_S = 3600.0, 3.0
INTERVAL_S, DWELL_S = 0.1, 0.5
#: Looks at the sensors that a test follows after the sleep; as many were missed.
TICKS = 20
CONFIG: dict[str, Any] = {
    "device": {"profile": "generic-x86_64", "background_profiling": False},
    "monitor": {"interval_s": INTERVAL_S},
    "policy": {
        "latency_p95_ms": 1000.0,
        "hot_temperature_c": 50.0,
        "search_deadline_ms": 1000.0,
        "mission_until": "23:59",
        "battery_capacity_wh": 20.0,
        "trigger": {"min_dwell_s": DWELL_S, "period_s": 3600.0, "event_rate_step_percent": 1e9},
    },
}
#: Stands between the daemon and the clocks of the kernel: time asleep, how far the wall clock is off, and
#: whether the kernel says that it is synchronised, as a test has written them.
SHIFT = """
import os, struct, time, types
import adaspring.context.wall_clock as edge

told = os.open({path!r}, os.O_RDONLY)
def shifts():
    return struct.unpack("4d", os.pread(told, 32, 0))
monotonic, gettime, wall, local = time.monotonic, time.clock_gettime, time.time, time.localtime
def shifted(clock):
    stood_s, asleep_s, _, _ = shifts()
    return gettime(clock) + {{time.CLOCK_MONOTONIC: -stood_s, time.CLOCK_BOOTTIME: asleep_s - stood_s}}.get(clock, 0.0)
time.clock_gettime = shifted
time.monotonic = lambda: monotonic() - shifts()[0]
time.time = lambda: wall() + shifts()[2]
edge.time_of_day.__defaults__ = (lambda: int(shifts()[3]), lambda: local(time.time()))
"""
#: What adjtimex(2) says.
UNSYNCHRONISED, SYNCHRONISED = 5.0, 0.0


class Clocks:
    """The clocks of daemons that a test starts."""

    def __init__(self, path: Path) -> None:
        """Begin as the clocks of this machine are."""
        self._path = path
        self._values = [0.0, 0.0, 0.0, SYNCHRONISED]
        self._write()

    def sleep(self, stood_s: float, asleep_s: float) -> None:
        """The monotonic clock stood still for so long while the clock of all time since boot went on by so much."""
        self._values[0] += stood_s
        self._values[1] += asleep_s
        self._write()

    def set_wall(self, ahead_s: float, state: float) -> None:
        """The wall clock is so far ahead of the right time, and the kernel says so of it."""
        self._values[2:] = ahead_s, state
        self._write()

    def _write(self) -> None:
        incoming = struct.pack("4d", *self._values)
        with self._path.open("r+b" if self._path.exists() else "wb", buffering=0) as file:
            file.write(incoming)


@pytest.fixture
def clocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clocks:
    """Clocks that the test turns, for daemons that are started from here on."""
    made = Clocks(tmp_path / "clocks")
    (tmp_path / "sitecustomize.py").write_text(SHIFT.format(path=str(tmp_path / "clocks")), encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}".rstrip(":"))
    return made


@contextmanager
def asleep(daemon: DaemonProcess) -> Iterator[None]:
    """A daemon that gets no processor inside."""
    process = psutil.Process(daemon.process.pid)
    daemon.process.send_signal(signal.SIGSTOP)
    until_s = time.monotonic() + 10.0
    while process.status() != psutil.STATUS_STOPPED:
        assert time.monotonic() < until_s
        time.sleep(0.005)
    try:
        yield
    finally:
        daemon.process.send_signal(signal.SIGCONT)


def heard_until(events: EventSubscriber, holds: Callable[[list[Event]], bool]) -> list[Event]:
    """All events up to what is awaited."""
    heard: list[Event] = []
    while not holds(heard):
        event = events.receive(10.0)
        assert event is not None
        heard.append(event)
    return heard


def contexts(heard: list[Event]) -> list[Context]:
    """The contexts among events."""
    return [msgspec.convert(event.data, Context) for event in heard if event.topic == "context"]


def caused(heard: list[Event], kind: str) -> list[Evolution]:
    """The evolutions of a cause among events."""
    evolutions = [msgspec.convert(event.data, Evolution) for event in heard if event.topic == "evolution"]
    return [evolution for evolution in evolutions if evolution.cause.kind == kind]


def evolved(control: ControlClient) -> Evolution:
    """As after `adaspringctl evolve`."""
    return msgspec.convert(control.call("evolve"), Evolution)


@pytest.mark.parametrize("kind", ["suspended", "stopped"])
def test_a_device_that_slept_goes_on_where_it_was(
    clocks: Clocks, small_bundle_folder: Path, board: Board, kind: str
) -> None:
    """Whether the clock stood still or went on: it serves at once, loses no event, and makes up for no tick."""
    config = {"bundle": str(small_bundle_folder), **CONFIG}
    with (
        DaemonProcess(config, sysroot=board.root) as daemon,
        daemon.client(retries=0) as client,
        daemon.control() as control,
        daemon.events() as events,
    ):
        client.infer(X)
        heard = heard_until(events, lambda heard: len(contexts(heard)) > 0)
        last = evolved(control)
        with asleep(daemon):
            board.show(temperature_c=70.0)
            time.sleep(STOPPED_S)
            if kind == "suspended":
                clocks.sleep(STOPPED_S, ASLEEP_S)
        client.infer(X)
        heard += heard_until(events, lambda heard: len(caused(heard, "temperature")) > 0)
        awake = heard_until(events, lambda heard: len(contexts(heard)) == TICKS)
        log = daemon.log.read_text()

    numbers = [event.sequence for event in heard + awake if event.topic == "context"]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    [decided] = caused(heard, "temperature")
    assert decided.at_s - last.at_s >= DWELL_S
    assert (f"resumed after {ASLEEP_S:.0f} s of suspension" in log) == (kind == "suspended")
    # Were ticks made up, those missed would come at once.
    assert contexts(awake)[-1].at_s - contexts(awake)[0].at_s >= TICKS / 2 * INTERVAL_S


def test_a_wall_clock_that_is_set_while_it_serves_changes_nothing_but_the_time(
    clocks: Clocks, small_bundle_folder: Path, board: Board
) -> None:
    """Booted in 1970: no time of day, no mission. Synchronised: both, and nothing that was learned is lost."""
    clocks.set_wall(-time.time(), UNSYNCHRONISED)
    config = {"bundle": str(small_bundle_folder), **CONFIG}
    with (
        DaemonProcess(config, sysroot=board.root) as daemon,
        daemon.client(retries=0) as client,
        daemon.control() as control,
        daemon.events() as events,
    ):
        for _ in range(50):
            client.infer(X)
        heard = heard_until(events, lambda heard: len(contexts(heard)) == 2)
        first = evolved(control)
        tables = msgspec.convert(control.call("tables"), TablesView)
        clocks.set_wall(0.0, SYNCHRONISED)
        heard += heard_until(events, lambda heard: any(c.time_of_day_s is not None for c in contexts(heard)))
        client.infer(X)
        heard += heard_until(events, lambda heard: len(contexts(heard)) == 2)
        later = evolved(control)
        synchronised = msgspec.convert(control.call("tables"), TablesView)
        log = daemon.log.read_text()

    seen = contexts(heard)
    assert seen[0].reasons["time_of_day_s"] == "the clock has not been synchronised since boot"
    assert first.decision is not None
    assert later.decision is not None
    assert "is not honoured yet" in first.decision.budgets.reasons["energy"]
    assert "has to last until 23:59" in later.decision.budgets.reasons["energy"]
    assert sorted(context.at_s for context in seen) == [context.at_s for context in seen]
    assert {event.data["cause"]["kind"] for event in heard if event.topic == "evolution"} <= {"operator"}
    [then], [now] = tables.latency, synchronised.latency
    assert then.at < EXPIRES_S < now.at
    assert (then.condition, then.frames + 1) == (now.condition, now.frames)
    assert "the wall clock was set" in log


@given(
    due_s=st.floats(0, 1e6),
    late_s=st.floats(0, 1e5),
    interval_s=st.floats(1e-2, 60),
)
def test_ticks_keep_their_beat_and_are_never_made_up(due_s: float, late_s: float, interval_s: float) -> None:
    """The next is on the beat where that is to come, else a whole interval away; never now or before."""
    now_s = due_s + late_s
    due_next_s = next_due_s(due_s, now_s, interval_s)
    assert now_s < due_next_s <= now_s + interval_s
    assert due_next_s in {due_s + interval_s, now_s + interval_s}
    assert due_next_s == due_s + interval_s or late_s >= interval_s * (1 - 1e-6)
