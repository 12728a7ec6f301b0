"""The demonstration from start to end, as ``make run`` starts it."""

from __future__ import annotations

import io
import os
import pty
import signal
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from rich.console import Console

from adaspring.cli.adaspring import main
from adaspring.cli.demo.command import begin_day


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder with quickly measured tables."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(folder))  # where the lock of measurements lies
        assert main(["profile", "--state", str(folder / "adaspring"), "--subnets", "80"]) == 0
    return folder


def command(seconds: float) -> list[str]:
    """Of a short day."""
    return [sys.executable, "-m", "adaspring.cli.adaspring", "demo", "--seconds", str(seconds)]


def environment(cache: Path) -> dict[str, str]:
    """Of a terminal that is wide enough."""
    return {**os.environ, "XDG_CACHE_HOME": str(cache), "COLUMNS": "140", "LINES": "40", "TERM": "xterm-256color"}


def test_day_is_played_and_summed_up(cache: Path) -> None:
    """Without a terminal: evolutions line by line, then a summary; no frame is lost, and the exit status is 0."""
    done = subprocess.run(command(3), env=environment(cache), capture_output=True, text=True, timeout=60, check=False)
    assert (0, "") == (done.returncode, done.stderr)
    assert "measured tables of this device are there" in done.stdout
    assert "A day in the field" in done.stdout
    assert ", 0 lost" in done.stdout
    assert "accuracy on volunteers that training never saw" in done.stdout
    assert "evolutions that swapped the subnet" in done.stdout
    assert "adaspringd drained and ended with 0" in done.stdout
    assert "\x1b" not in done.stdout


def test_energy_stays_modelled(cache: Path) -> None:
    """Power of the replayed board is not there to be held against frames of this machine; charge and supply are."""
    stack = ExitStack()
    with stack, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(cache))
        _, _, watcher = begin_day(stack, Console(file=io.StringIO()), 60.0)
        while (context := watcher.look().status.context).battery_percent is None:
            pass
    assert context.power_w is None
    assert context.external_power is not None


def test_pictures_are_drawn(cache: Path, clone: Path, tmp_path: Path) -> None:
    """The script that the pictures of the documentation come from writes both, whole."""
    code = (
        f"import runpy, sys; sys.argv[1:] = ['--output', {str(tmp_path)!r}]\n"
        f"main = runpy.run_path({str(clone / 'scripts' / 'pictures.py')!r})['main']\n"
        "main.__globals__['SECONDS'] = 2.0\n"
        "main()"
    )
    subprocess.run(
        [sys.executable, "-c", code], env=environment(cache), check=True, stdout=subprocess.DEVNULL, timeout=60
    )
    for name, title in (("demo", "make run"), ("top", "adaspringctl top")):
        text = (tmp_path / f"{name}.svg").read_text().replace("&#160;", " ")
        assert title in text
        assert "active subnet" in text
        assert text.endswith("</svg>\n")


def test_terminal_shows_the_live_view(cache: Path) -> None:
    """On a terminal the day is drawn on a screen of its own, which is gone before the summary."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(command(1.5), env=environment(cache), stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    drawn = b""
    # The end of a terminal is an error to its reader.
    with suppress(OSError):
        while chunk := os.read(ours, 65536):
            drawn += chunk
    os.close(ours)
    assert process.wait(timeout=60) == 0
    live, _, summary = drawn.decode().partition("\x1b[?1049l")
    assert "\x1b[?1049h" in live
    for title in ("AdaSpring", "context", "active subnet", "frames", "evolutions"):
        assert title in live
    assert "A day in the field" in summary


def test_control_c_ends_everything_quietly(cache: Path) -> None:
    """The terminal interrupts daemon and demonstration alike: both end, and no folder of theirs is left."""
    process = subprocess.Popen(
        command(60),
        env=environment(cache) | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    with process.stdout as output:
        endpoint = next(line.partition("ipc://")[2].strip() for line in output if "ipc://" in line)
        os.killpg(process.pid, signal.SIGINT)
        said = output.read()
    assert process.wait(timeout=30) == 130
    assert "Traceback" not in said
    assert not Path(endpoint).parents[1].exists()
