from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from math import exp
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from adaspring.context import Context, Monitor, Smoothing
from adaspring.context.model import Reading
from adaspring.context.monitor import sensors_of
from adaspring.context.watch import RESCAN_S, RETRY_S

Put = Callable[[str, str], None]
if TYPE_CHECKING:
    from tests.context.conftest import Daemon

Spoil = Callable[[Path, str], None]

FIRMWARE = "/sys/devices/platform/soc/soc:firmware/get_throttled"
POLICY = "/sys/devices/system/cpu/cpufreq/policy0"
ZONE = "/sys/class/thermal/thermal_zone0"
SUPPLIES = "/sys/class/power_supply"
#: A Raspberry Pi 4 with a battery board, every quantity from exactly one file (formats: see the tests of each sensor).
BOARD = {
    f"{ZONE}/type": "cpu-thermal\n",
    f"{ZONE}/temp": "50000\n",
    f"{SUPPLIES}/battery/type": "Battery\n",
    f"{SUPPLIES}/battery/status": "Discharging\n",
    f"{SUPPLIES}/battery/capacity": "80\n",
    f"{SUPPLIES}/battery/power_now": "4000000\n",
    f"{SUPPLIES}/usb/type": "USB\n",
    f"{SUPPLIES}/usb/online": "1\n",
    f"{POLICY}/cpuinfo_max_freq": "1800000\n",
    f"{POLICY}/scaling_max_freq": "1800000\n",
    FIRMWARE: "0\n",
    "/proc/meminfo": "MemTotal: 2048000 kB\nMemAvailable: 1024000 kB\n",
    "/proc/pressure/memory": "some avg10=1.50 avg60=0.00 avg300=0.00 total=0\n",
    "/proc/stat": "cpu  10 0 10 80 0 0 0 0 0 0\n",
}
#: The file behind each quantity, and what it may not say.
FILES = {
    "temperature_c": (f"{ZONE}/temp", "-256000\n"),
    "battery_percent": (f"{SUPPLIES}/battery/capacity", "300\n"),
    "power_w": (f"{SUPPLIES}/battery/power_now", "9000000000000\n"),
    "external_power": (f"{SUPPLIES}/usb/online", "7\n"),
    "frequency_capped": (f"{POLICY}/scaling_max_freq", "-1\n"),
    "firmware_throttled": (FIRMWARE, "fffffffff\n"),
    "memory_available_mib": ("/proc/meminfo", "MemAvailable: -1 kB\n"),
    "memory_pressure_percent": ("/proc/pressure/memory", "some avg10=-1.00\n"),
    "cpu_percent": ("/proc/stat", "cpu  10\n"),
}


NOON = Reading(43_200.0, "the local clock")


@pytest.fixture
def board(tmp_path: Path, put: Put) -> Path:
    """The tree of the board; returns its root."""
    for path, text in BOARD.items():
        put(path, text)
    return tmp_path


@pytest.fixture
def monitor(board: Path, daemon: Daemon) -> Monitor:
    """Watches the board."""
    return Monitor(
        board,
        daemon,
        clock=daemon.clock,
        time_of_day=lambda: NOON,
        smoothing=Smoothing(2.0, 2.0, 2.0),
        deadline_s=10.0,
    )


def test_a_context_is_assembled_from_every_sensor(monitor: Monitor, daemon: Daemon) -> None:
    """Every quantity arrives in its unit, and those that need two looks say so."""
    expected = Context(
        at_s=1000.0,
        battery_percent=80.0,
        external_power=True,
        power_w=4.0,
        temperature_c=50.0,
        throttled=False,
        memory_available_mib=1000.0,
        memory_pressure_percent=1.5,
        cpu_percent=20.0,
        queue_depth=0.0,
        time_of_day_s=43_200.0,
        reasons={
            "event_rate_hz": "a rate takes two looks",
            "latency_p95_us": "the active subnet has answered too few frames",
            "deadline_us": "no recent frame had a deadline",
            "temperature_rise_c_per_min": "a rise takes two looks",
        },
    )
    assert expected == monitor.tick()
    daemon.now_s, daemon.received, daemon.latency_p95_us, daemon.deadline_us = 1001.0, 50, 321.0, 5e3
    context = monitor.tick()
    assert (50.0, 321.0, {}) == (context.event_rate_hz, context.latency_p95_us, context.reasons)


def test_readings_name_their_sources(monitor: Monitor, board: Path) -> None:
    """What `status` shows says where each value was read."""
    assert {} == monitor.readings
    monitor.tick()
    sources = {name: reading.source for name, reading in monitor.readings.items()}
    assert sources["temperature_c"] == "thermal_zone0 (cpu-thermal)"
    assert sources["battery_percent"] == "battery"
    assert sources["firmware_throttled"] == FIRMWARE
    known = {name for sensor in sensors_of(board) for name in sensor.quantities}
    own = {"event_rate_hz", "latency_p95_us", "deadline_us", "time_of_day_s"}
    assert known | own | {"power_w", "throttled", "temperature_rise_c_per_min"} == set(sources)
    assert set(FILES) <= set(sources)


@pytest.fixture(params=FILES)
def quantity(request: pytest.FixtureRequest, put: Put, board: Path) -> tuple[str, Path]:
    """Each quantity in turn with its file, on a board where no other file can stand in for it."""
    name = str(request.param)
    if name == "external_power":
        put(f"{SUPPLIES}/battery/status", "Unknown\n")
    return name, board / FILES[name][0].lstrip("/")


@pytest.mark.parametrize(
    "fault", ["vanished", "\xff\x00 no number \xfe\n", "", "folder", "fifo", "silent fifo", "impossible"]
)
def test_a_fault_is_a_reason_and_passes(
    monitor: Monitor, daemon: Daemon, spoil: Spoil, quantity: tuple[str, Path], fault: str
) -> None:
    """Whatever happens to a file, its quantity is absent with a reason, the others stay, and it comes back."""
    monitor.tick()
    before = monitor.readings
    name, target = quantity
    path, impossible = FILES[name]
    good = target.read_text(encoding="utf-8")
    spoil(target, impossible if fault == "impossible" else fault)
    daemon.now_s += 1
    monitor.tick()
    assert monitor.readings[name].value is None
    assert path.rpartition("/")[0] in monitor.readings[name].reason
    for other in set(FILES) - {name}:
        assert before[other].value == monitor.readings[other].value

    if target.is_dir():
        target.rmdir()
    spoil(target, good)
    daemon.now_s += 1
    monitor.tick()
    assert before[name].value == monitor.readings[name].value


def test_a_loss_is_told_with_what_was_known_last(monitor: Monitor, put: Put, board: Path, daemon: Daemon) -> None:
    """What a sensor said last stays known as such until it comes back; what was never there is not lost."""
    assert {} == monitor.tick().lost
    (board / ZONE.lstrip("/") / "temp").unlink()
    (board / "proc/meminfo").unlink()
    daemon.now_s += 1
    assert {"temperature_c": 50.0, "memory_available_mib": 1000.0} == monitor.tick().lost
    put(f"{ZONE}/temp", "60000\n")
    put("/proc/meminfo", "MemAvailable: 512 kB\n")
    daemon.now_s += 1
    assert {} == monitor.tick().lost


def test_a_loss_and_a_return_are_logged_once(
    monitor: Monitor, put: Put, daemon: Daemon, caplog: pytest.LogCaptureFixture
) -> None:
    """One line when a sensor goes, one when it comes back, none in between."""
    monitor.tick()
    caplog.set_level(logging.INFO)
    caplog.clear()
    put(f"{ZONE}/temp", "-256000\n")
    for _ in range(5):
        daemon.now_s += 1
        monitor.tick()
    put(f"{ZONE}/temp", "40000\n")
    for _ in range(5):
        daemon.now_s += 1
        monitor.tick()
    lines = [(record.levelname, record.getMessage().partition(":")[0]) for record in caplog.records]
    expected = [
        ("WARNING", "temperature_c is gone"),
        ("INFO", "temperature_c is read from thermal_zone0 (cpu-thermal)"),
    ]
    assert expected == lines


def test_a_sensor_that_comes_back_under_another_number_is_found(
    monitor: Monitor, board: Path, put: Put, daemon: Daemon
) -> None:
    """Numbers mean nothing: a zone that moved is found by its type, at once if it was lost at that moment."""
    monitor.tick()
    shutil.rmtree(board / ZONE.lstrip("/"))
    put("/sys/class/thermal/thermal_zone3/type", "cpu-thermal\n")
    put("/sys/class/thermal/thermal_zone3/temp", "61000\n")
    daemon.now_s += 1
    monitor.tick()
    assert monitor.readings["temperature_c"].source == "thermal_zone3 (cpu-thermal)"


def test_a_sensor_that_appears_is_found_soon(tmp_path: Path, put: Put, daemon: Daemon) -> None:
    """What was missing is looked for every few seconds, not at every tick."""
    monitor = Monitor(tmp_path, daemon, clock=daemon.clock, deadline_s=10.0)
    assert monitor.tick().battery_percent is None
    put(f"{SUPPLIES}/BAT0/type", "Battery\n")
    put(f"{SUPPLIES}/BAT0/capacity", "55\n")
    daemon.now_s += RETRY_S - 1
    assert monitor.tick().battery_percent is None
    daemon.now_s += 1
    assert monitor.tick().battery_percent == 55


def test_a_hotter_zone_that_appears_is_found_in_time(monitor: Monitor, put: Put, daemon: Daemon) -> None:
    """Even where nothing is missing, devices are looked for anew after a while."""
    monitor.tick()
    put("/sys/class/thermal/thermal_zone1/type", "gpu-thermal\n")
    put("/sys/class/thermal/thermal_zone1/temp", "90000\n")
    daemon.now_s += RESCAN_S
    monitor.tick()
    assert monitor.readings["temperature_c"].value == 90


def test_temperature_and_memory_are_smoothed_and_the_battery_is_not(monitor: Monitor, put: Put, daemon: Daemon) -> None:
    """A spike arrives little by little, while the raw reading shows it as it is."""
    monitor.tick()
    put(f"{ZONE}/temp", "90000\n")
    put("/proc/meminfo", "MemAvailable: 0 kB\n")
    put(f"{SUPPLIES}/battery/capacity", "10\n")
    daemon.now_s += 2
    context = monitor.tick()
    assert pytest.approx(50 + 40 * (1 - exp(-1))) == context.temperature_c
    assert pytest.approx(1000 * exp(-1)) == context.memory_available_mib
    assert context.battery_percent == 10
    assert monitor.readings["temperature_c"].value == 90


@pytest.mark.parametrize(
    ("cap", "word", "expected"),
    [
        ("1800000\n", "0\n", False),
        ("600000\n", "0\n", True),
        ("1800000\n", "4\n", True),
        ("oops\n", "4\n", True),
        ("1800000\n", "oops\n", False),
        ("oops\n", "oops\n", None),
    ],
)
def test_either_kind_of_throttling_counts(
    monitor: Monitor, put: Put, *, cap: str, word: str, expected: bool | None
) -> None:
    """A capped clock or a word of the firmware is throttling; only when neither tells is it unknown."""
    put(f"{POLICY}/scaling_max_freq", cap)
    put(FIRMWARE, word)
    context = monitor.tick()
    assert expected is context.throttled
    assert (expected is None) == ("throttled" in context.reasons)


def test_an_empty_tree_gives_a_reason_for_everything(tmp_path: Path, daemon: Daemon) -> None:
    """A board without sensors is served all the same: nothing is made up, everything is explained."""
    unset = Reading(None, "the local clock", "the clock has not been synchronised since boot")
    context = Monitor(tmp_path, daemon, clock=daemon.clock, time_of_day=lambda: unset, deadline_s=10.0).tick()
    fields = set(Context.__struct_fields__) - {"at_s", "event_state", "queue_depth", "reasons", "lost"}
    assert fields == set(context.reasons)
    assert [None] * len(fields) == [getattr(context, name) for name in fields]


def test_this_machine_can_be_watched(daemon: Daemon) -> None:
    """On the real root, psutil gives the load and procfs the memory."""
    monitor = Monitor(Path("/"), daemon, clock=daemon.clock, deadline_s=10.0)
    context = monitor.tick()
    assert monitor.readings["cpu_percent"].source == "psutil"
    assert context.cpu_percent is not None
    assert 0 <= context.cpu_percent <= 100
    assert context.memory_available_mib is not None
    assert context.memory_available_mib > 0


def test_a_rise_of_temperature_is_told(board: Path, put: Put, daemon: Daemon) -> None:
    """Six degrees a minute are told as such after a while; a steady temperature is no rise."""
    zone = "/sys/class/thermal/thermal_zone0"
    put(f"{zone}/type", "cpu-thermal\n")
    monitor = Monitor(board, daemon, clock=daemon.clock, smoothing=Smoothing(1e-3, 2.0, 2.0), deadline_s=10.0)
    for second in range(240):
        put(f"{zone}/temp", f"{60_000 + 100 * min(second, 120)}\n")
        daemon.now_s += 1.0
        context = monitor.tick()
        if second == 120:
            assert context.temperature_rise_c_per_min == pytest.approx(6.0, rel=0.05)
    assert context.temperature_rise_c_per_min == pytest.approx(0.0, abs=0.1)


def test_what_the_daemon_itself_knows_is_part_of_the_context(board: Path, daemon: Daemon) -> None:
    """Frames that wait are smoothed; deadlines and the time of day are taken as they are."""
    daemon.queue_depth, daemon.deadline_us = 4, 5000.0
    context = Monitor(board, daemon, clock=daemon.clock, time_of_day=lambda: NOON, deadline_s=10.0).tick()
    assert (4.0, 5000.0, 43_200.0) == (context.queue_depth, context.deadline_us, context.time_of_day_s)
