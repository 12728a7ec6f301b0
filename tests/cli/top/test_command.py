"""The live view against a daemon, in an emulated terminal."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from adaspring.app.status import Status
from adaspring.bundle import Bundle
from adaspring.cli.process import DaemonProcess
from adaspring.client import ControlClient

if TYPE_CHECKING:
    from tests.cli.top.conftest import Terminal

Open = Callable[..., "Terminal"]


def command(daemon: DaemonProcess, *options: str) -> list[str]:
    """Of the live view of a daemon."""
    program = [sys.executable, "-m", "adaspring.cli.adaspringctl"]
    return [*program, "--socket", f"{daemon.folder}/run", "top", *options]


def told(lines: list[str]) -> list[str]:
    """Evolutions on the screen, newest first."""
    return [line for line in lines if re.match(r"│ ?\d\d:\d\d:\d\d ", line)]


def drawn(lines: list[str]) -> bool:
    """Whether the view is there."""
    return "q quits" in lines[-1]


@pytest.fixture
def pinned(small_bundle: Bundle, control: ControlClient) -> Callable[[], str]:
    """Pins the smallest subnet; returns its name."""

    def pin() -> str:
        name = small_bundle.space.format(small_bundle.space.smallest())
        control.call("pin", subnet=name)
        return name

    return pin


def test_fits_80_columns_and_24_lines(open_terminal: Open, daemon: DaemonProcess, status: Status) -> None:
    """All panels are whole, and nothing that counts is cut off."""
    lines = open_terminal(command(daemon)).until(drawn)
    assert (24, {80}) == (len(lines), {len(line) for line in lines})
    assert f"AdaSpring toy 1  generic-x86_64  {status.engine}" in lines[0]
    assert status.subnet in lines[1]
    assert [("╭", "╮"), ("╰", "╯"), ("╭", "╮"), ("╰", "╯")] == [
        (line[0], line[-1]) for line in lines if line[0] in "╭╰"
    ]
    text = "\n".join(lines)
    for title in ("─ context ─", "─ active subnet ─", "─ frames ─", "─ evolutions: "):
        assert title in text
    for name in (
        "battery",
        "heat",
        "memory",
        "load",
        "events",
        "p20",
        "p95",
        "accuracy",
        "energy",
        "queue",
        "answered",
    ):
        assert name in text
    assert "…" not in text
    for index, slot in enumerate(status.slots):
        assert f"{index} {slot.operator or 'skipped'}" in text


def test_evolution_shows_as_it_happens(open_terminal: Open, daemon: DaemonProcess, pinned: Callable[[], str]) -> None:
    """An event brings the new subnet, cause and milliseconds; the next look is an hour away."""
    terminal = open_terminal(command(daemon, "--interval", "3600"))
    terminal.until(drawn)
    # Again, until the view has connected to the event socket.
    lines = terminal.until(lambda lines: pinned() in lines[1] and " ms an operator pinned it " in told(lines)[0])
    assert "pinned, estimated tables" in lines[1]


def test_late_view_tells_what_was(open_terminal: Open, daemon: DaemonProcess, pinned: Callable[[], str]) -> None:
    """Who comes after an evolution sees it."""
    pinned()
    assert " ms an operator pinned it " in told(open_terminal(command(daemon)).until(drawn))[0]


def test_larger_terminal_is_used(open_terminal: Open, daemon: DaemonProcess) -> None:
    """The view follows the size of the terminal; with more columns evolutions tell their subnet."""
    terminal = open_terminal(command(daemon))
    assert not any("f32:" in line for line in told(terminal.until(drawn)))
    terminal.resize(140, 40)
    lines = terminal.until(lambda lines: len(lines) == 40 and drawn(lines) and lines[-1].endswith("╯"))
    assert all("f32:" in line for line in told(lines))


def test_q_quits(open_terminal: Open, daemon: DaemonProcess) -> None:
    """At once, with status 0, and the terminal is as it was."""
    terminal = open_terminal(command(daemon))
    terminal.until(drawn)
    assert not terminal.as_before
    terminal.press("q")
    assert 0 == terminal.ended()
    assert terminal.as_before
    # Cursor and the screen before.
    assert terminal.raw.endswith(b"\x1b[?25h\x1b[?1049l")


def test_control_c_quits(open_terminal: Open, daemon: DaemonProcess) -> None:
    """As in every program, without a traceback, and the terminal is as it was."""
    terminal = open_terminal(command(daemon))
    terminal.until(drawn)
    terminal.press("\x03")
    assert 130 == terminal.ended()
    assert terminal.as_before
    assert b"Traceback" not in terminal.raw


def test_view_without_keys_ends_by_signal(open_terminal: Open, daemon: DaemonProcess) -> None:
    """With input from nowhere it draws on, and a service manager's signal leaves the terminal as it was."""
    terminal = open_terminal(command(daemon), keys=False)
    terminal.until(drawn)
    terminal.resize(100, 30)
    terminal.until(lambda lines: drawn(lines) and len(lines) == 30)
    terminal.process.terminate()
    assert 143 == terminal.ended()
    assert terminal.as_before
    assert terminal.raw.endswith(b"\x1b[?25h\x1b[?1049l")


def test_view_outlives_the_daemon(open_terminal: Open, small_bundle_folder: Path, tmp_path: Path) -> None:
    """What was known stays, with a word that nobody answers."""
    config = {"bundle": str(small_bundle_folder), "device": {"background_profiling": False}}
    with DaemonProcess(config, sysroot=tmp_path) as daemon:
        terminal = open_terminal(command(daemon, "--interval", "0.1"))
        terminal.until(drawn)
        assert 0 == daemon.stop()
        lines = terminal.until(lambda lines: "nobody answers; trying again" in lines[1])
    assert "AdaSpring toy 1" in lines[0]


def test_once_is_for_scripts(daemon: DaemonProcess, status: Status) -> None:
    """Without a terminal: 24 lines of 80 columns, no escape sequence."""
    done = subprocess.run(command(daemon, "--once"), capture_output=True, text=True, timeout=60, check=True)
    lines = done.stdout.splitlines()
    assert (24, {80}) == (len(lines), {len(line) for line in lines[2:]})
    assert status.subnet in lines[1]
    assert "\x1b" not in done.stdout


def test_without_a_terminal_it_says_what_to_do(daemon: DaemonProcess) -> None:
    """A pipe gets no screen, nor does a negative interval."""
    done = subprocess.run(command(daemon), capture_output=True, text=True, timeout=60, check=False)
    assert (1, "") == (done.returncode, done.stdout)
    assert "use top --once" in done.stderr
    again = command(daemon, "--once", "--interval", "-1")
    done = subprocess.run(again, capture_output=True, text=True, timeout=60, check=False)
    assert (1, True) == (done.returncode, "must be more than 0 seconds" in done.stderr)
