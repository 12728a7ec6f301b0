from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from adaspring.context import Monitor
from adaspring.context.model import Reading
from adaspring.context.monitor import suspended_s
from adaspring.context.watch import PATIENCE_S, RESCAN_S, RETRY_S, Watch

LONG_S = 30.0


class Gauge:
    """A sensor that a test can hold, break and count."""

    quantities = ("temperature_c",)

    def __init__(self, interval_s: float = 0.0) -> None:
        """Read 40 degrees."""
        self.interval_s = interval_s
        self.value: float | None = 40.0
        self.error: BaseException | None = None
        self.free = threading.Event()
        self.free.set()
        self.reads = 0
        self.scans = 0

    def discover(self) -> None:
        """Count."""
        self.scans += 1

    def read(self) -> Mapping[str, Reading]:
        """The value, once it is let go."""
        self.reads += 1
        assert self.free.wait(LONG_S)
        if self.error is not None:
            raise self.error
        return {"temperature_c": Reading(self.value, "gauge", "" if self.value is not None else "it is broken")}


class Load(Gauge):
    """Another one, which never fails."""

    quantities = ("cpu_percent",)

    def read(self) -> Mapping[str, Reading]:
        """The value."""
        self.reads += 1
        return {"cpu_percent": Reading(self.value, "load")}


class Daemon:
    """Counters and clocks that a test turns."""

    received = 0
    latency_p95_us: float | None = None
    queue_depth = 0
    deadline_us: float | None = None
    now_s = 1000.0
    suspended_s = 5.0


def wait_until(holds: Callable[[], bool]) -> None:
    """Wait for a condition, generously."""
    until_s = time.monotonic() + LONG_S
    while not holds():
        assert time.monotonic() < until_s
        time.sleep(0.005)


@pytest.fixture
def daemon() -> Daemon:
    """At 1000 s."""
    return Daemon()


def monitor_of(daemon: Daemon, *sensors: Gauge, deadline_s: float = LONG_S) -> Monitor:
    """A monitor of these sensors alone."""
    return Monitor(
        Path("/nowhere"),
        daemon,
        clock=lambda: daemon.now_s,
        suspended=lambda: daemon.suspended_s,
        sensors=sensors,
        deadline_s=deadline_s,
    )


def test_a_sensor_that_hangs_holds_neither_the_loop_nor_the_others(
    daemon: Daemon, caplog: pytest.LogCaptureFixture
) -> None:
    """It keeps its last value for a while, is absent then, is logged once, and comes back when it answers."""
    caplog.set_level(logging.INFO)
    gauge, load = Gauge(), Load()
    monitor = monitor_of(daemon, gauge, load, deadline_s=1.0)
    assert monitor.tick().temperature_c == 40
    gauge.free.clear()
    daemon.now_s += 1
    assert monitor.tick().temperature_c == 40
    assert monitor.readings["temperature_c"].age_s == 1
    daemon.now_s += PATIENCE_S
    context = monitor.tick()
    assert (None, 40.0) == (context.temperature_c, context.cpu_percent)
    assert "has not answered for 4 s" in context.reasons["temperature_c"]
    monitor.tick()
    assert gauge.reads == 2

    gauge.value = 50.0
    gauge.free.set()
    daemon.now_s += 1

    def answered() -> bool:
        monitor.tick()
        return monitor.readings["temperature_c"].value == 50

    wait_until(answered)
    lines = [record.getMessage().partition(":")[0] for record in caplog.records if "temperature" in record.message]
    assert ["temperature_c is read from gauge", "temperature_c is gone", "temperature_c is read from gauge"] == lines


def test_a_sensor_that_hangs_from_the_start_says_so(daemon: Daemon) -> None:
    """The first context does not wait for it."""
    gauge = Gauge()
    gauge.free.clear()
    context = monitor_of(daemon, gauge, deadline_s=0.05).tick()
    assert context.reasons["temperature_c"] == "it has not answered yet"
    gauge.free.set()


def test_a_slow_sensor_is_read_beside_the_loop(daemon: Daemon) -> None:
    """One that took too long is not waited for any more, and its answer is taken when it is there."""
    gauge = Gauge()
    monitor = monitor_of(daemon, gauge, deadline_s=0.05)
    gauge.free.clear()
    monitor.tick()
    gauge.free.set()
    wait_until(lambda: not monitor._watches[0].busy)
    daemon.now_s += 1
    monitor.tick()
    wait_until(lambda: not monitor._watches[0].busy)
    assert monitor.tick().temperature_c == 40


@pytest.mark.parametrize(("deadline_s", "slow"), [(-1.0, True), (LONG_S, False)])
def test_slow_is_what_takes_longer_than_the_deadline(*, deadline_s: float, slow: bool) -> None:
    """The last look decides, so a sensor that is quick again is read with the others."""
    watch = Watch(Gauge(), deadline_s)
    watch.slow = not slow
    watch.look(0.0)
    assert slow is watch.slow


def test_a_costly_sensor_is_read_seldom_and_tells_its_age(daemon: Daemon) -> None:
    """Between two reads the last value stands, with its age."""
    gauge = Gauge(interval_s=5.0)
    monitor = monitor_of(daemon, gauge)
    ages = []
    for _ in range(11):
        monitor.tick()
        ages.append(monitor.readings["temperature_c"].age_s)
        daemon.now_s += 1
    assert [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0] == ages
    assert gauge.reads == 3


@pytest.mark.parametrize("error", [ZeroDivisionError("by zero"), SystemExit("by a library")])
def test_whatever_a_sensor_raises_is_a_reason(daemon: Daemon, error: BaseException) -> None:
    """An error that nobody foresaw makes one quantity absent and ends nothing."""
    gauge, load = Gauge(), Load()
    monitor = monitor_of(daemon, gauge, load)
    gauge.error = error
    context = monitor.tick()
    assert context.reasons["temperature_c"] == f"reading it failed: {type(error).__name__}: {error}"
    assert context.cpu_percent == 40
    gauge.error = None
    daemon.now_s += 1
    assert monitor.tick().temperature_c == 40


def test_what_was_never_there_is_looked_for_ever_less_often() -> None:
    """Each look in vain doubles the time to the next, so that a board without a sensor pays little for it."""
    gauge = Gauge()
    gauge.value = None
    watch = Watch(gauge, LONG_S)
    scans: list[int] = []
    for second in range(200):
        watch.look(float(second))
        watch.readings(float(second))
        if len(scans) < gauge.scans:
            scans.append(second)
    assert [0, RETRY_S, 3 * RETRY_S, 7 * RETRY_S, 7 * RETRY_S + 40, 7 * RETRY_S + 40 + RESCAN_S] == scans[:6]


def test_devices_are_not_looked_for_all_at_once(daemon: Daemon) -> None:
    """After the first tick none looks for devices of more than one sensor; within a minute all are looked for."""
    gauges = [Gauge() for _ in range(12)]
    monitor = monitor_of(daemon, *gauges)
    monitor.tick()
    most = 0
    for _ in range(int(RESCAN_S)):
        daemon.now_s += 1
        before = sum(gauge.scans for gauge in gauges)
        monitor.tick()
        most = max(most, sum(gauge.scans for gauge in gauges) - before)
    assert most == 1
    assert min(gauge.scans for gauge in gauges) == 2


def test_after_a_suspension_nothing_old_is_believed(daemon: Daemon, caplog: pytest.LogCaptureFixture) -> None:
    """The monotonic clock stands still while a device sleeps; what was read before it is read anew."""
    caplog.set_level(logging.INFO)
    gauge = Gauge(interval_s=60.0)
    monitor = monitor_of(daemon, gauge)
    monitor.tick()
    gauge.value = 10.0
    daemon.now_s += 0.5
    daemon.suspended_s += 3600
    assert monitor.tick().temperature_c == 10
    assert (2, 2) == (gauge.reads, gauge.scans)
    assert "resumed after 3600 s of suspension" in caplog.text


def test_an_answer_from_before_a_suspension_is_not_taken_after_it(daemon: Daemon) -> None:
    """A read that was under way when the device fell asleep tells of another time."""
    gauge = Gauge()
    gauge.free.clear()
    monitor = monitor_of(daemon, gauge, deadline_s=0.05)
    monitor.tick()
    daemon.now_s += 0.5
    daemon.suspended_s += 3600
    monitor.tick()
    gauge.free.set()
    wait_until(lambda: not monitor._watches[0].busy)
    watch = monitor._watches[0]
    assert watch.readings(daemon.now_s)["temperature_c"].reason == "it has not answered yet"


def test_jitter_of_the_two_clocks_is_no_suspension(daemon: Daemon) -> None:
    """A few milliseconds between the two reads of the clocks change nothing."""
    gauge = Gauge(interval_s=60.0)
    monitor = monitor_of(daemon, gauge)
    monitor.tick()
    for step in (0.004, -0.003):
        daemon.now_s += 1
        daemon.suspended_s += step
        monitor.tick()
    assert gauge.reads == 1


def test_this_machine_tells_how_long_it_was_suspended() -> None:
    """The two clocks of the kernel differ by what only one of them counts."""
    assert suspended_s() > -0.1
