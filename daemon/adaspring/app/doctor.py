"""What a person should know of a device before the daemon runs: what it is, what it senses, what is missing."""

from __future__ import annotations

import grp
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

from adaspring.app.locate import find_board
from adaspring.boards import DeviceProfile
from adaspring.context import Monitor
from adaspring.context.model import Reading
from adaspring.context.monitor import sensors_of
from adaspring.context.sysroot import Sysroot
from adaspring.engine.select import chosen_engine
from adaspring.errors import SensorError

#: Two ticks apart, so that rates and loads have something between them; in seconds of the monitor's clock.
_TICKS = 2
_RASPBERRY_PI, _JETSON = "Raspberry Pi", "Jetson"

_JOIN_VIDEO = "sudo usermod -aG video USER, and log in again"
#: What to do by what a reason says; the last two are what jetson-stats says (its jtop.py).
_REMEDIES = {
    "may not be read by this user": "let this user read it, or run as the user of the daemon",
    "vcio": _JOIN_VIDEO,
    "VCHI": _JOIN_VIDEO,
    "can't access jtop.service": "sudo usermod -aG jtop USER, and log in again",
    "jtop.service is not active": "sudo systemctl restart jtop.service",
}


class Sense(msgspec.Struct, frozen=True):
    """One quantity.

    Attributes:
        name: With its unit at the end.
        value: None when absent.
        source: Where it is read.
        note: What to bear in mind of the value.
        reason: Why it is absent.
        expected: Whether this kind of board usually gives it.
        remedy: How to get it; empty where nothing is to be done.
    """

    name: str
    value: float | None
    source: str
    note: str
    reason: str
    expected: bool
    remedy: str


class Check(msgspec.Struct, frozen=True):
    """One thing beside the sensors.

    Attributes:
        name: What was looked at.
        found: What was found.
        good: Whether it is as it should be.
        remedy: What to do where it is not.
    """

    name: str
    found: str
    good: bool
    remedy: str = ""


class Examination(msgspec.Struct, frozen=True):
    """The whole picture.

    Attributes:
        board: Title of the device profile.
        profile: Its name.
        model: What the firmware calls the board.
        kernel: Release of the kernel; of this machine, also for a tree that stands for another.
        machine: As ``uname -m`` says.
        sensors: Every quantity that AdaSpring knows.
        checks: Kernel options, groups, libraries.
    """

    board: str
    profile: str
    model: str
    kernel: str
    machine: str
    sensors: tuple[Sense, ...]
    checks: tuple[Check, ...]

    @property
    def remedies(self) -> tuple[tuple[str, str], ...]:
        """What can be done, each with the name of what it helps."""
        senses = [(sense.name, sense.remedy) for sense in self.sensors if sense.remedy]
        checks = [(check.name, check.remedy) for check in self.checks if check.remedy]
        return (*senses, *checks)


class _NoFrames:
    """There is no daemon yet, so there are no frames."""

    received = 0
    latency_p95_us: float | None = None
    queue_depth = 0
    deadline_us: float | None = None


def examine(sysroot: Path, *, profile: str = "auto", groups: frozenset[str] | None = None) -> Examination:
    """Look at a device.

    Args:
        sysroot: Root of the tree; ``/`` is this device.
        profile: Name or path of a device profile, or ``"auto"`` to detect it.
        groups: Names of the groups of the user; default: those of this process.

    Raises:
        BoardError: If no device profile fits, or it has a mistake.
    """
    board = find_board(profile, sysroot)
    tree = Sysroot(sysroot)
    monitor = Monitor(sysroot, _NoFrames(), deadline_s=2.0)
    for _ in range(_TICKS):
        monitor.tick()
    readings = monitor.readings
    return Examination(
        board=board.title,
        profile=board.name,
        model=_text(tree, "/sys/firmware/devicetree/base/model") or _text(tree, "/sys/class/dmi/id/product_name"),
        kernel=platform.release(),
        machine=platform.machine(),
        sensors=tuple(
            _sense(name, readings[name], board, tree) for sensor in sensors_of(sysroot) for name in sensor.quantities
        ),
        checks=(
            *_kernel_checks(tree, board),
            *_group_checks(board, _groups() if groups is None else groups),
            *_library_checks(board),
        ),
    )


def _sense(name: str, reading: Reading, board: DeviceProfile, tree: Sysroot) -> Sense:
    expected = name in board.sensors.expected
    remedy = "" if reading.value is not None else _remedy(name, reading.reason, board, tree, expected=expected)
    return Sense(name, reading.value, reading.source, reading.note, reading.reason, expected, remedy)


def _remedy(name: str, reason: str, board: DeviceProfile, tree: Sysroot, *, expected: bool) -> str:
    if name == "memory_pressure_percent":
        return _add_to_command_line("psi=1", board, tree)
    for sign, remedy in _REMEDIES.items():
        if sign in reason:
            return remedy
    if name == "jetson_stats_power_w" and _JETSON in board.title and "not installed" in reason:
        return "only needed where rails_power_w is absent: pip install 'adaspring[jetson]'"
    if name == "battery_percent" and _RASPBERRY_PI in board.title:
        return "a supply with a fuel gauge that the kernel drives (MAX17040 and the like), enabled by its overlay"
    return "its kernel driver may be missing: see the reason" if expected else ""


def _kernel_checks(tree: Sysroot, board: DeviceProfile) -> tuple[Check, ...]:
    cgroups = _has_memory_cgroups(tree)
    pressure = bool(_text(tree, "/proc/pressure/memory"))
    return (
        Check(
            "memory control groups",
            "on" if cgroups else "off: a memory limit of the service (MemoryMax) has no effect",
            cgroups,
            "" if cgroups else _add_to_command_line("cgroup_enable=memory", board, tree),
        ),
        Check(
            "memory pressure (PSI)",
            "on" if pressure else "off: shortages are seen by the available memory alone",
            pressure,
            "" if pressure else _add_to_command_line("psi=1", board, tree),
        ),
    )


def _has_memory_cgroups(tree: Sysroot) -> bool:
    # Kernels from 6.12 on list no memory line in /proc/cgroups unless version 1 is built in.
    if "memory" in _text(tree, "/sys/fs/cgroup/cgroup.controllers").split():
        return True
    lines = [line.split() for line in _text(tree, "/proc/cgroups").splitlines()]
    return any(words[:1] == ["memory"] and words[-1] == "1" for words in lines)


def _add_to_command_line(option: str, board: DeviceProfile, tree: Sysroot) -> str:
    if _RASPBERRY_PI in board.title:
        # Since Raspberry Pi OS 12 the boot partition is mounted below /boot/firmware.
        file = "/boot/cmdline.txt" if tree.exists("/boot/cmdline.txt") else "/boot/firmware/cmdline.txt"
        return f"add {option} to the end of the one line in {file}, and reboot"
    return f"add {option} to the command line of the kernel, where it is built with it, and reboot"


def _group_checks(board: DeviceProfile, groups: frozenset[str]) -> tuple[Check, ...]:
    if _RASPBERRY_PI not in board.title:
        return ()
    good = os.geteuid() == 0 or "video" in groups
    found = "this user may ask the firmware" if good else "this user may not ask the firmware (vcgencmd)"
    return (Check("group video", found, good, "" if good else _JOIN_VIDEO),)


def _library_checks(board: DeviceProfile) -> tuple[Check, ...]:
    found = {name: _version(name) for name in ("onnxruntime", "torch")}
    engine = chosen_engine("auto", board.engine)
    libraries = ", ".join(f"{name} {found[name] or 'not installed'}" for name in found)
    good = found[engine] is not None
    return (
        Check(
            "engine",
            f"{engine} ({libraries})" if good else f"none ({libraries})",
            good,
            "" if good else f"pip install {engine}",
        ),
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _groups() -> frozenset[str]:
    names = set()
    for number in os.getgroups():
        try:
            names.add(grp.getgrgid(number).gr_name)
        except KeyError:  # noqa: PERF203 - a group without a name hides no other
            continue
    return frozenset(names)


def _text(tree: Sysroot, path: str) -> str:
    try:
        return tree.text(path).strip("\0")
    except SensorError:
        return ""
