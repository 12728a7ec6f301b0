from __future__ import annotations

import threading
from pathlib import Path

import msgspec
import pytest

from adaspring.boards import detect
from adaspring.context import Monitor, Smoothing
from adaspring.simulate import DayState, LiveTree, SimulatedDevice, load_scenario

HOUR_S = 3600.0


class Daemon:
    """Counters of a daemon that received nothing."""

    received = 0
    latency_p95_us: float | None = None
    queue_depth = 0
    deadline_us: float | None = None


def state_at(hour: float) -> DayState:
    """The device of the default scenario at an hour of the day."""
    return SimulatedDevice(load_scenario()).advance_to(hour * HOUR_S)


@pytest.mark.parametrize("hour", [6.0, 8.5, 12.0, 14.0, 16.0, 18.0, 20.5])
def test_the_monitor_reads_back_what_was_written(tmp_path: Path, hour: float) -> None:
    """Through the real monitor a state comes back as it was, to the resolution of the files."""
    state = state_at(hour)
    LiveTree(tmp_path).write(state)
    context = Monitor(tmp_path, Daemon(), deadline_s=10.0).tick()
    assert pytest.approx(state.battery_percent, abs=1e-3) == context.battery_percent
    assert state.plugged is context.external_power
    assert pytest.approx(state.temperature_c, abs=1e-3) == context.temperature_c
    assert state.throttled is context.throttled
    assert pytest.approx(state.memory_available_mib, abs=1e-3) == context.memory_available_mib
    assert pytest.approx(state.memory_pressure_percent, abs=1e-2) == context.memory_pressure_percent
    assert pytest.approx(state.cpu_percent, abs=0.3) == context.cpu_percent
    if state.plugged:
        assert "does not feed the board" in context.reasons["power_w"]
    else:
        assert pytest.approx(-state.current_ma * state.voltage_v / 1e3, abs=1e-3) == context.power_w


def test_a_tree_follows_its_device(tmp_path: Path) -> None:
    """Written again, every reading is the new one, and load is that of the time between."""
    now_s = 0.0
    device, tree = SimulatedDevice(load_scenario()), LiveTree(tmp_path)
    monitor = Monitor(tmp_path, Daemon(), clock=lambda: now_s, smoothing=Smoothing(1e-3, 1e-3, 1e-3), deadline_s=10.0)
    tree.write(device.state())
    monitor.tick()
    for hour in (8.0, 8.4, 13.0, 13.75, 16.0, 17.75):
        now_s += 1
        state = device.advance_to(hour * HOUR_S)
        tree.write(state)
        context = monitor.tick()
        assert pytest.approx(state.battery_percent, abs=1e-3) == context.battery_percent
        assert pytest.approx(state.temperature_c, abs=1e-3) == context.temperature_c
        assert pytest.approx(state.cpu_percent, abs=0.1) == context.cpu_percent


def test_a_full_battery_says_so(tmp_path: Path) -> None:
    """Plugged and charged the status is Full, and an online supply is reported."""
    state = msgspec.structs.replace(state_at(12.0), battery_percent=100.0, plugged=True)
    LiveTree(tmp_path).write(state)
    assert (tmp_path / "sys/class/power_supply/BAT0/status").read_text() == "Full\n"
    assert Monitor(tmp_path, Daemon(), deadline_s=10.0).tick().external_power is True


@pytest.mark.parametrize(
    ("model", "expected"), [("Raspberry Pi 4 Model B Rev 1.4", "raspberry-pi-4b"), (None, "generic-x86_64")]
)
def test_a_tree_stands_for_a_board(tmp_path: Path, clone: Path, model: str | None, expected: str) -> None:
    """With the model of a board it is detected as that board, without one as a machine of this kind."""
    (LiveTree(tmp_path) if model is None else LiveTree(tmp_path, model=model)).write(state_at(7.0))
    assert expected == detect(tmp_path, "x86_64", folder=clone / "device_profiles").name


def test_what_did_not_change_is_not_touched(tmp_path: Path) -> None:
    """A second write of the same state leaves every file but the counters of time alone."""
    tree = LiveTree(tmp_path)
    tree.write(state_at(7.0))
    before = {path: path.stat().st_ino for path in tmp_path.rglob("*") if path.is_file()}
    tree.write(state_at(7.0))
    assert before == {path: path.stat().st_ino for path in tmp_path.rglob("*") if path.is_file()}


def test_every_core_shows_its_frequency_domain(tmp_path: Path) -> None:
    """Each core links to the shared policy, as the kernel does it."""
    LiveTree(tmp_path).write(state_at(16.0))
    cpu = tmp_path / "sys/devices/system/cpu"
    for core in range(4):
        assert (cpu / f"cpu{core}/cpufreq/scaling_max_freq").read_text() == "1000000\n"


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    """While the tree is rewritten as fast as it goes, every read finds a whole number that was written."""
    tree = LiveTree(tmp_path)
    states = [msgspec.structs.replace(state_at(7.0), temperature_c=celsius) for celsius in (9.5, 100.25)]
    tree.write(states[0])
    stop = threading.Event()

    def rewrite() -> None:
        turn = 0
        while not stop.is_set():
            turn += 1
            tree.write(states[turn % 2])

    writer = threading.Thread(target=rewrite)
    writer.start()
    try:
        monitor = Monitor(tmp_path, Daemon(), smoothing=Smoothing(1e-9, 1e-9, 1e-9), deadline_s=10.0)
        for _ in range(300):
            monitor.tick()
            assert monitor.readings["temperature_c"].value in {9.5, 100.25}
    finally:
        stop.set()
        writer.join()
