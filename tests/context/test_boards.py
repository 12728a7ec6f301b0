"""The monitor on the trees of real boards and kernels (their sources: daemon/adaspring/simulate/boards)."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from adaspring.boards import detect, load_profile
from adaspring.context import Monitor
from adaspring.context.model import Reading
from adaspring.context.monitor import sensors_of
from adaspring.context.sysroot import Sysroot
from adaspring.context.watch import RESCAN_S
from adaspring.simulate import DayState, LiveTree, board_trees, load_board_tree

if TYPE_CHECKING:
    from tests.context.conftest import Daemon

Spoil = Callable[[Path, str], None]

#: A board at rest on its battery, where it has one.
REST = DayState(
    time_s=0.0,
    activity="rest",
    events_hz=0.0,
    load=0.4,
    cpu_percent=10.0,
    battery_percent=80.0,
    plugged=False,
    current_ma=-500.0,
    voltage_v=4.0,
    capacity_mah=3000.0,
    ambient_c=21.0,
    temperature_c=48.5,
    throttled=False,
    clock_mhz=1500.0,
    full_clock_mhz=1500.0,
    memory_total_mib=2048.0,
    memory_available_mib=1024.0,
    memory_pressure_percent=1.5,
    cores=4,
    power_w=7.0,
)

COMMON = {"memory_available_mib": 1024.0, "cpu_percent": 10.0, "load_average_1min": 0.4}
CLOCK = {"frequency_mhz": 1500.0, "frequency_cap_mhz": 1500.0, "frequency_capped": 0.0, "throttled": 0.0}
RASPBERRY_PI = COMMON | CLOCK | {
    "temperature_c": 48.5,
    "firmware_throttled": 0.0,
    "firmware_undervoltage": 0.0,
    "throttled_since_boot": 0.0,
    "supply_undervoltage": 0.0,
}  # fmt: skip
PRESSURE = {"memory_pressure_percent": 1.5}
ORIN = COMMON | CLOCK | PRESSURE | {
    "temperature_c": 48.5,
    "throttle_temperature_c": 99.0,
    "over_current_events": 0.0,
    "over_current": 0.0,
    "gpu_percent": 0.0,
}  # fmt: skip
#: The rails that the Raspberry Pi 5 tree holds still, in watts; the rest of 6 W goes through the core.
STEADY_RAILS_W = 1.12747
#: What each tree must say; everything else must be absent with a reason.
EXPECTED: dict[str, dict[str, float]] = {
    "raspberry-pi-zero-2w": RASPBERRY_PI,
    "raspberry-pi-3b-plus": RASPBERRY_PI,
    "raspberry-pi-4b": RASPBERRY_PI,
    "raspberry-pi-4b-ups": RASPBERRY_PI | PRESSURE | {
        # 512 MiB less 100 in use, of which 20 can be dropped.
        "memory_available_mib": 432.0,
        "cgroup_available_mib": 432.0,
        "battery_percent": 80.0,
        "meter_power_w": 2.0,
        "power_w": 2.0,
    },
    "raspberry-pi-5": RASPBERRY_PI | {"pmic_power_w": 6 + STEADY_RAILS_W, "power_w": 6 + STEADY_RAILS_W},
    "raspberry-pi-5-kernel-6.12": RASPBERRY_PI | {
        "pmic_power_w": 6 + 0.05605 * 3.69824 + 0.11035156 * 3.30273438,
        "power_w": 6 + 0.05605 * 3.69824 + 0.11035156 * 3.30273438,
    },
    "jetson-nano": COMMON | CLOCK | {
        "temperature_c": 48.5,
        "throttle_temperature_c": 97.0,
        "rails_power_w": 7.0,
        "power_w": 7.0,
        "gpu_percent": 0.0,
        "power_mode": 0.0,
    },
    "jetson-orin-nano": ORIN | {"rails_power_w": 7.0, "power_w": 7.0, "power_mode": 2.0},
    # Three rails; the fourth hangs on the third.
    "jetson-agx-orin": ORIN | {"rails_power_w": 7.0, "power_w": 7.0, "power_mode": 3.0},
    "librem5": COMMON | CLOCK | PRESSURE | {
        "temperature_c": 48.5,
        "throttle_temperature_c": 80.0,
        "battery_percent": 80.0,
        "external_power": 0.0,
        "battery_power_w": 2.0,
        "power_w": 2.0,
    },
    "laptop-x86_64": COMMON | CLOCK | PRESSURE | {
        "temperature_c": 48.5,
        "battery_percent": 80.0,
        "external_power": 0.0,
        "battery_power_w": 2.0,
        "power_w": 2.0,
    },
    "virtual-aarch64": COMMON | PRESSURE,
}  # fmt: skip


@pytest.fixture
def root() -> Iterator[Path]:
    """A folder that other users may enter, too; in memory where that can be, for there are many small files."""
    memory = Path("/dev/shm")  # noqa: S108 - mkdtemp makes a folder of its own there
    folder = Path(tempfile.mkdtemp(prefix="as-board-", dir=memory if memory.is_dir() else None))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def watch(root: Path, tree: str, daemon: Daemon) -> Monitor:
    """A monitor of a board at rest."""
    LiveTree(root, board=load_board_tree(tree)).write(REST)
    return Monitor(root, daemon, clock=daemon.clock, deadline_s=10.0)


def present(readings: dict[str, Reading]) -> dict[str, float]:
    """The quantities that are there."""
    return {name: reading.value for name, reading in readings.items() if reading.value is not None}


@pytest.mark.parametrize("tree", board_trees())
def test_a_board_is_read_as_it_is(root: Path, daemon: Daemon, tree: str) -> None:
    """Every sensor of the board is found by name and type, and what it lacks is absent with a reason."""
    monitor = watch(root, tree, daemon)
    monitor.tick()
    readings = monitor.readings
    assert pytest.approx(EXPECTED[tree], rel=2e-3) == present(readings)
    for reading in readings.values():
        assert (reading.value is None) == bool(reading.reason)


@pytest.mark.parametrize("tree", board_trees())
def test_a_board_is_recognised(root: Path, daemon: Daemon, clone: Path, tree: str) -> None:
    """The device profile that fits is found from the device tree, DMI or the machine."""
    watch(root, tree, daemon)
    board = load_board_tree(tree)
    assert board.board == detect(root, board.machine, folder=clone / "device_profiles").name


@pytest.mark.parametrize("tree", board_trees())
def test_a_profile_expects_what_its_board_shows(root: Path, daemon: Daemon, clone: Path, tree: str) -> None:
    """What the profile promises is there; only pressure may be switched off in the kernel."""
    monitor = watch(root, tree, daemon)
    monitor.tick()
    expected = set(load_profile(load_board_tree(tree).board, folder=clone / "device_profiles").sensors.expected)
    assert expected <= monitor.readings.keys()
    assert expected - present(monitor.readings).keys() <= {"memory_pressure_percent"}


@pytest.mark.parametrize("tree", ["raspberry-pi-5", "jetson-agx-orin", "librem5"])
def test_numbers_of_devices_mean_nothing(root: Path, daemon: Daemon, tree: str) -> None:
    """With zones and chips numbered the other way round every reading is the same."""
    watch(root, tree, daemon)
    for folder, prefix in (("sys/class/thermal", "thermal_zone"), ("sys/class/hwmon", "hwmon")):
        paths = sorted((root / folder).glob(f"{prefix}*")) if (root / folder).exists() else []
        for number, path in enumerate(reversed(paths)):
            path.rename(path.with_name(f"{prefix}{number + 40}"))
    monitor = Monitor(root, daemon, clock=daemon.clock, deadline_s=10.0)
    monitor.tick()
    assert pytest.approx(EXPECTED[tree], rel=2e-3) == present(monitor.readings)


def test_estimates_are_marked(root: Path, daemon: Daemon) -> None:
    """What the rails of a Raspberry Pi 5 add up to is not all that it draws, and the reading says so."""
    monitor = watch(root, "raspberry-pi-5", daemon)
    monitor.tick()
    assert "estimate" in monitor.readings["power_w"].note


def test_the_power_mode_has_its_name(root: Path, daemon: Daemon) -> None:
    """The source of the mode carries the name that nvpmodel.conf gives it."""
    monitor = watch(root, "jetson-orin-nano", daemon)
    monitor.tick()
    assert monitor.readings["power_mode"].source == "nvpmodel (MAXN_SUPER)"


def test_a_port_without_power_does_not_feed_a_board_without_battery(root: Path, daemon: Daemon) -> None:
    """An empty USB port of a Jetson on its barrel jack is no sign that it runs on a battery."""
    monitor = watch(root, "jetson-agx-orin", daemon)
    assert monitor.tick().external_power is None
    assert "there is no battery, and something else does" in monitor.readings["external_power"].reason


def test_over_current_counts_as_throttling_while_it_happens(root: Path, daemon: Daemon) -> None:
    """A counter that has grown since the last tick means throttled; one that stands still does not."""
    monitor = watch(root, "jetson-orin-nano", daemon)
    throttled = [monitor.tick().throttled]
    for count in ("3\n", "3\n"):
        (root / "sys/class/hwmon/hwmon0/oc1_event_cnt").write_text(count)
        daemon.now_s += 1
        throttled.append(monitor.tick().throttled)
    assert [False, True, False] == throttled


def test_what_happened_since_boot_is_no_throttling_now(root: Path, daemon: Daemon) -> None:
    """Bits 16 to 19 of the throttle word are told apart from bits 0 to 3."""
    monitor = watch(root, "raspberry-pi-4b", daemon)
    (root / "sys/devices/platform/soc/soc:firmware/get_throttled").write_text("50000\n")
    assert monitor.tick().throttled is False
    assert monitor.readings["throttled_since_boot"].value == 1


HWMON = "/sys/class/hwmon"
IIO = "/sys/bus/iio/devices/iio:device0"
ZONE = "/sys/class/thermal/thermal_zone0"
POLICY = "/sys/devices/system/cpu/cpufreq/policy0"
SUPPLY = "/sys/class/power_supply"
CGROUP = "/sys/fs/cgroup/system.slice/adaspringd.service"
GAUGE = f"{SUPPLY}/max170xx_battery"
#: Each backend: a board with it, a quantity of it, and the files without which that quantity cannot be.
BACKENDS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "thermal zone": ("raspberry-pi-4b", "temperature_c", (f"{ZONE}/temp",)),
    "trip point": (
        "jetson-orin-nano", "throttle_temperature_c",
        tuple(f"/sys/class/thermal/thermal_zone{zone}/trip_point_0_temp" for zone in (0, 1, 8)),
    ),
    "clock": ("raspberry-pi-4b", "frequency_mhz", (f"{POLICY}/scaling_cur_freq",)),
    "clock cap": ("raspberry-pi-4b", "frequency_capped", (f"{POLICY}/scaling_max_freq",)),
    "height of the cap": ("raspberry-pi-4b", "frequency_cap_mhz", (f"{POLICY}/scaling_max_freq",)),
    "throttle word": (
        "raspberry-pi-4b", "firmware_throttled", ("/sys/devices/platform/soc/soc:firmware/get_throttled",)
    ),
    "vcgencmd": ("raspberry-pi-4b-ups", "firmware_throttled", ("/run/vcgencmd/get_throttled",)),
    "undervoltage": ("raspberry-pi-4b", "supply_undervoltage", (f"{HWMON}/hwmon1/in0_lcrit_alarm",)),
    "PMIC": ("raspberry-pi-5", "pmic_power_w", ("/run/vcgencmd/pmic_read_adc",)),
    "INA3221 input rail": ("jetson-orin-nano", "rails_power_w", (f"{HWMON}/hwmon1/curr1_input",)),
    "INA3221 sum": ("jetson-agx-orin", "rails_power_w", (f"{HWMON}/hwmon3/curr2_input",)),
    "INA3221 iio": ("jetson-nano", "rails_power_w", (f"{IIO}/in_power0_input",)),
    "over-current": (
        "jetson-orin-nano", "over_current_events",
        (f"{HWMON}/hwmon0/oc1_event_cnt", f"{HWMON}/hwmon0/oc3_event_cnt"),
    ),
    "nvpmodel": ("jetson-orin-nano", "power_mode", ("/var/lib/nvpmodel/status",)),
    "GPU": ("jetson-orin-nano", "gpu_percent", ("/sys/class/devfreq/17000000.gpu/device/load",)),
    "GPU of kernel 4.9": ("jetson-nano", "gpu_percent", ("/sys/devices/gpu.0/load",)),
    "fuel gauge": ("librem5", "battery_percent", (f"{GAUGE}/charge_now", f"{GAUGE}/capacity")),
    "battery power": ("librem5", "battery_power_w", (f"{GAUGE}/current_now", f"{GAUGE}/voltage_now")),
    "battery of an UPS": ("raspberry-pi-4b-ups", "battery_percent", (f"{SUPPLY}/battery/capacity",)),
    "supply": ("laptop-x86_64", "external_power", (f"{SUPPLY}/AC/online", f"{SUPPLY}/BAT0/status")),
    "INA219": (
        "raspberry-pi-4b-ups", "meter_power_w", (f"{HWMON}/hwmon2/power1_input", f"{HWMON}/hwmon2/curr1_input")
    ),
    "memory": ("raspberry-pi-4b", "memory_available_mib", ("/proc/meminfo",)),
    "pressure": ("librem5", "memory_pressure_percent", ("/proc/pressure/memory",)),
    "control group": ("raspberry-pi-4b-ups", "cgroup_available_mib", (f"{CGROUP}/memory.current",)),
    "load": ("raspberry-pi-4b", "cpu_percent", ("/proc/stat",)),
    "load average": ("raspberry-pi-4b", "load_average_1min", ("/proc/loadavg",)),
}  # fmt: skip
FAULTS = {
    "vanished": "vanished",
    "EAGAIN": "silent fifo",
    "garbage": "\xff\x00 no number \xfe\n",
    "empty": "",
    "-256 degrees": "-256000\n",
    "FIFO without a writer": "fifo",
    "folder": "folder",
    "permission denied": "denied",
}
#: Quantities that follow from others, so that a fault shows in them as well.
DERIVED = {"power_w", "throttled", "memory_available_mib", "battery_power_w", "battery_percent", "over_current",
           "firmware_undervoltage", "throttled_since_boot", "frequency_cap_mhz", "frequency_capped"}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_every_fault_of_every_backend_is_a_reason_and_passes(
    root: Path, daemon: Daemon, spoil: Spoil, backend: str, fault: str
) -> None:
    """A quantity whose file is faulty is absent with a reason, the others stay, and it comes back with its file."""
    tree, quantity, files = BACKENDS[backend]
    monitor = watch(root, tree, daemon)
    monitor.tick()
    before = present(monitor.readings)
    targets = [root / file.lstrip("/") for file in files]
    good = [target.read_text(encoding="utf-8") for target in targets]
    user = os.geteuid()
    for target in targets:
        if fault == "permission denied":
            target.chmod(0)
        else:
            spoil(target, FAULTS[fault])
    daemon.now_s += RESCAN_S
    try:
        if fault == "permission denied" and user == 0:
            os.seteuid(65534)  # root may read everything; nobody may not
        monitor.tick()
    finally:
        os.seteuid(user)
    reading = monitor.readings[quantity]
    assert (None, True) == (reading.value, bool(reading.reason))
    after = present(monitor.readings)
    for name in before.keys() - DERIVED - {quantity}:
        assert before[name] == after[name], name

    for target, text in zip(targets, good, strict=True):
        if target.is_dir():
            target.rmdir()
        elif fault == "permission denied":
            target.chmod(0o644)
        spoil(target, text)
    for _ in range(2):
        daemon.now_s += RESCAN_S
        monitor.tick()
    again = present(monitor.readings)
    assert pytest.approx(before) == {name: again[name] for name in before}


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_backend_that_hangs_holds_nobody(
    root: Path, daemon: Daemon, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    """A driver that does not return makes its sensor absent with a reason; the others are read, and it comes back."""
    tree, quantity, files = BACKENDS[backend]
    monitor = watch(root, tree, daemon)
    monitor.tick()
    before = present(monitor.readings)
    together = next(sensor.quantities for sensor in sensors_of(root) if quantity in sensor.quantities)
    free, read = threading.Event(), Sysroot.text

    def hang(sysroot: Sysroot, path: str, *, whole: bool = False) -> str:
        if path in files:
            assert free.wait(30.0)
        return read(sysroot, path, whole=whole)

    monkeypatch.setattr(Sysroot, "text", hang)
    monitor._crew.deadline_s = 0.4
    daemon.now_s += RESCAN_S
    monitor.tick()
    reading = monitor.readings[quantity]
    assert (None, "it has not answered for 60 s") == (reading.value, reading.reason)
    after = present(monitor.readings)
    for name in before.keys() - DERIVED - set(together):
        assert before[name] == after[name], name

    free.set()
    until_s = time.monotonic() + 30.0
    while before.items() - present(monitor.readings).items():
        assert time.monotonic() < until_s
        daemon.now_s += 1
        monitor.tick()
        time.sleep(0.005)


#: Each backend whose files or lines have a label: what it lies in, what stands there when the label is missing
#: (None: no file), and what cannot be known then.
LABELS: dict[str, tuple[str, dict[str, str | None], str]] = {
    "thermal zone": ("raspberry-pi-4b", {f"{ZONE}/type": None}, "temperature_c"),
    "trip point": (
        "jetson-orin-nano",
        {f"/sys/class/thermal/thermal_zone{zone}/trip_point_0_type": None for zone in (0, 1, 8)},
        "throttle_temperature_c",
    ),
    "undervoltage": ("raspberry-pi-4b", {f"{HWMON}/hwmon1/name": None}, "supply_undervoltage"),
    "vcgencmd": ("raspberry-pi-4b-ups", {"/run/vcgencmd/get_throttled": "0x50005\n"}, "firmware_throttled"),
    "Raspberry Pi 5": ("raspberry-pi-5", {"/sys/firmware/devicetree/base/compatible": None}, "pmic_power_w"),
    "PMIC": ("raspberry-pi-5", {"/run/vcgencmd/pmic_read_adc": "current(0)=0.5A\nvolt(8)=3.7V\n"}, "pmic_power_w"),
    "INA3221": ("jetson-orin-nano", {f"{HWMON}/hwmon1/name": None}, "rails_power_w"),
    "INA3221 input rail": ("jetson-orin-nano", {f"{HWMON}/hwmon1/in1_label": None}, "rails_power_w"),
    "INA3221 sum": ("jetson-agx-orin", {f"{HWMON}/hwmon3/in2_label": None}, "rails_power_w"),
    "INA3221 iio": ("jetson-nano", {f"{IIO}/name": None}, "rails_power_w"),
    "INA3221 iio input rail": ("jetson-nano", {f"{IIO}/rail_name_0": None}, "rails_power_w"),
    "over-current": ("jetson-orin-nano", {f"{HWMON}/hwmon0/name": None}, "over_current_events"),
    "nvpmodel": ("jetson-orin-nano", {"/var/lib/nvpmodel/status": "0002\n"}, "power_mode"),
    "fuel gauge": ("librem5", {f"{GAUGE}/type": None}, "battery_percent"),
    "battery of an UPS": ("raspberry-pi-4b-ups", {f"{SUPPLY}/battery/type": None}, "battery_percent"),
    "battery power": ("librem5", {f"{GAUGE}/status": None}, "battery_power_w"),
    "INA219": ("raspberry-pi-4b-ups", {f"{HWMON}/hwmon2/name": None}, "meter_power_w"),
    "memory": ("raspberry-pi-4b", {"/proc/meminfo": "MemTotal: 5 kB\n 7 kB\n"}, "memory_available_mib"),
    "pressure": ("librem5", {"/proc/pressure/memory": "avg10=1.00 avg60=0.00\n"}, "memory_pressure_percent"),
    "control group": ("raspberry-pi-4b-ups", {f"{CGROUP}/memory.stat": "20971520\n"}, "cgroup_available_mib"),
    "load": ("raspberry-pi-4b", {"/proc/stat": "5 0 0 9 0 0 0 0 0 0\n"}, "cpu_percent"),
}  # fmt: skip


@pytest.mark.parametrize("backend", LABELS)
def test_what_has_lost_its_label_is_not_guessed(root: Path, daemon: Daemon, spoil: Spoil, backend: str) -> None:
    """Without its name, type or key nobody can tell what a value measures, so it is absent; it comes back with it."""
    tree, files, quantity = LABELS[backend]
    monitor = watch(root, tree, daemon)
    monitor.tick()
    before = monitor.readings[quantity].value
    good = {file: (root / file.lstrip("/")).read_text() for file in files}
    for file, text in files.items():
        spoil(root / file.lstrip("/"), "vanished" if text is None else text)
    daemon.now_s += RESCAN_S
    monitor.tick()
    reading = monitor.readings[quantity]
    assert (None, True) == (reading.value, bool(reading.reason))
    for file, label in good.items():
        spoil(root / file.lstrip("/"), label)
    daemon.now_s += RESCAN_S
    monitor.tick()
    assert before == monitor.readings[quantity].value


def test_a_gpu_that_is_not_called_one_is_not_guessed(root: Path, daemon: Daemon) -> None:
    """Other devices of the devfreq class tell a load, too; the name of the device tells which is the GPU."""
    monitor = watch(root, "jetson-orin-nano", daemon)
    (root / "sys/class/devfreq/17000000.gpu").rename(root / "sys/class/devfreq/17000000.bus")
    monitor.tick()
    assert "no GPU" in monitor.readings["gpu_percent"].reason


@pytest.mark.parametrize(
    ("tree", "file", "current", "quantity", "expected"),
    [
        # A rail only takes; a few steps below zero are noise.
        ("jetson-orin-nano", f"{HWMON}/hwmon1/curr1_input", "-300\n", "rails_power_w", None),
        ("jetson-orin-nano", f"{HWMON}/hwmon1/curr1_input", "-8\n", "rails_power_w", 0.0),
        ("jetson-agx-orin", f"{HWMON}/hwmon3/curr2_input", "-300\n", "rails_power_w", None),
        ("jetson-nano", f"{IIO}/in_power0_input", "-300\n", "rails_power_w", None),
        (
            "raspberry-pi-5",
            "/run/vcgencmd/pmic_read_adc",
            "EXT5V_A current(0)=-1A\nEXT5V_V volt(1)=5V\n",
            "pmic_power_w",
            None,
        ),
        # Drivers differ in the sign of a battery's current; its status says which way it flows.
        ("librem5", f"{GAUGE}/current_now", "-500000\n", "battery_power_w", 2.0),
        ("librem5", f"{GAUGE}/current_now", "500000\n", "battery_power_w", 2.0),
        # A meter may be soldered in either way.
        ("raspberry-pi-4b-ups", f"{HWMON}/hwmon2/curr1_input", "-500\n", "meter_power_w", 2.0),
    ],
)
def test_negative_currents_are_understood(
    root: Path, daemon: Daemon, *, tree: str, file: str, current: str, quantity: str, expected: float | None
) -> None:
    """Each kind of sensor has its own meaning of a negative current."""
    watch(root, tree, daemon)
    (root / "sys/class/hwmon/hwmon2/power1_input").unlink(missing_ok=True)
    (root / file.lstrip("/")).write_text(current)
    monitor = Monitor(root, daemon, clock=daemon.clock, deadline_s=10.0)
    monitor.tick()
    assert pytest.approx(expected) == monitor.readings[quantity].value
