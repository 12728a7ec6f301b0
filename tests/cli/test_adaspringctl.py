from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import adaspring
from adaspring.app.evolution import Evolution
from adaspring.app.status import Status, TablesView
from adaspring.bundle import Bundle
from adaspring.cli.adaspringctl import main
from adaspring.cli.process import DaemonProcess
from adaspring.client import ControlClient
from adaspring.errors import InvalidArgumentError
from adaspring.simulate.trace import load_trace

Ctl = Callable[..., str]


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines are not broken."""
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def ctl(daemon: DaemonProcess, capsys: pytest.CaptureFixture[str]) -> Ctl:
    """Runs a command against the daemon; returns what it printed."""

    def run(*arguments: str, status: int = 0) -> str:
        assert status == main(["--socket", f"{daemon.folder}/run", *arguments])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return captured.err if status else captured.out

    return run


@pytest.fixture
def smallest(small_bundle: Bundle) -> str:
    """A subnet that no search would choose by itself while accuracy counts."""
    return small_bundle.space.format(small_bundle.space.smallest())


@contextmanager
def happening(what: Callable[[], object]) -> Iterator[None]:
    """Something that goes on happening while a listener connects."""
    over = threading.Event()

    def repeat() -> None:
        while not over.wait(0.02):
            what()

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_status_is_shown(ctl: Ctl, status: Status) -> None:
    """For people, with what is absent and why; as JSON, with every field of the status."""
    text = ctl("status")
    assert f"toy 1 on generic-x86_64, {status.engine}" in text
    assert status.subnet in text
    assert "— /sys/class/power_supply lists no battery" in text
    assert "messages, " in text
    told = msgspec.json.decode(ctl("status", "--json"), type=Status)
    assert (status.subnet, status.engine, status.budgets) == (told.subnet, told.engine, told.budgets)


def test_daemon_of_another_version_is_told(ctl: Ctl, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be understood is no traceback, and says what to do."""
    monkeypatch.setattr(ControlClient, "call", lambda *_: {"version": "0.0.1"})
    assert "answers as another version does (Object missing required field `model`); restart it" in ctl(
        "status", status=1
    )


def test_evolve_decides_anew(ctl: Ctl) -> None:
    """An operator need not wait for a change; the same context confirms the same subnet."""
    assert ctl("evolve").endswith("ms  stays  an operator asked\n")
    evolution = msgspec.json.decode(ctl("evolve", "--json"), type=Evolution)
    assert ("operator", False) == (evolution.cause.kind, evolution.swapped)
    assert evolution.decision is not None


def test_explain_tells_why(ctl: Ctl) -> None:
    """The newest decision, with what lost and why."""
    evolution = msgspec.json.decode(ctl("evolve", "--json"), type=Evolution)
    assert evolution == msgspec.json.decode(ctl("explain", "--json"), type=Evolution)
    text = ctl("explain")
    assert "Because an operator asked" in text
    assert "Budgets that follow" in text
    assert evolution.decision is not None
    for other in evolution.decision.alternatives:
        assert other.text in text


def test_pin_holds_and_unpin_lets_go(ctl: Ctl, smallest: str, status: Status) -> None:
    """A pinned subnet is active at once and told as pinned; afterwards the search decides as before."""
    assert f"{smallest}  an operator pinned it" in ctl("pin", smallest)
    assert "pinned by an operator" in ctl("status")
    assert "an operator pinned this subnet" in ctl("explain")
    assert not msgspec.json.decode(ctl("pin", "--json", smallest), type=Evolution).swapped
    assert f"{status.subnet}  an operator asked" in ctl("unpin")
    told = msgspec.json.decode(ctl("status", "--json"), type=Status)
    assert (status.subnet, False) == (told.subnet, told.pinned)


@pytest.mark.parametrize("subnet", ["nonsense", "i8:c16.c16.c32.c32", "f32:c16.c16.c32.c7", "f32:-.c16.c32.c32"])
def test_impossible_pin_is_refused(ctl: Ctl, subnet: str, control: ControlClient) -> None:
    """What there is no subnet for changes nothing, and the message says what there is."""
    before = control.call("status")
    said = ctl("pin", subnet, status=1)
    assert said.startswith("adaspringctl: ")
    assert "one is 'f32:" in said or "it offers" in said
    after = control.call("status")
    assert [before[key] for key in ("subnet", "generation", "pinned", "evolutions")] == [
        after[key] for key in ("subnet", "generation", "pinned", "evolutions")
    ]


def test_events_are_printed_as_they_come(ctl: Ctl, control: ControlClient, smallest: str) -> None:
    """Contexts by themselves, evolutions as they happen; for people and as one JSON object a line."""
    assert "memory available" in ctl("events", "--topic", "context", "--count", "1")
    first, second = [json.loads(line) for line in ctl("events", "--json", "--count", "2").splitlines()]
    assert ("context", "context") == (first["topic"], second["topic"])
    assert first["sequence"] + 1 == second["sequence"]
    with happening(lambda: control.call("pin", subnet=smallest)):
        assert "an operator pinned it" in ctl("events", "--topic", "evolution", "--count", "1")


def test_refused_requests_are_shown(ctl: Ctl, daemon: DaemonProcess) -> None:
    """Events without a form of their own are printed as JSON."""

    def infer_badly() -> None:
        with pytest.raises(InvalidArgumentError):
            client.infer(np.zeros((1, 2, 3), dtype=np.float32))

    with daemon.client() as client, happening(infer_badly):
        assert '{"shape":' in ctl("events", "--topic", "reject", "--count", "1")


def test_without_a_daemon_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 1 and a sentence that names the socket."""
    assert main(["--socket", str(tmp_path), "status"]) == 1
    assert f"adaspringctl: nobody answers at ipc://{tmp_path}/control.sock" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "status"),
    [(["--version"], "0"), (["--help"], "0"), ([], "2"), (["reboot"], "2"), (["events", "--topic", "x"], "2")],
)
def test_arguments_are_checked(arguments: list[str], status: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Before anybody is asked."""
    with pytest.raises(SystemExit, match=status):
        main(arguments)
    captured = capsys.readouterr()
    assert adaspring.__version__ in captured.out or "usage: adaspringctl" in captured.out + captured.err


def listener(daemon: DaemonProcess, *more: str) -> subprocess.Popen[bytes]:
    """``adaspringctl events`` as a process that has printed a line."""
    command = [sys.executable, "-m", "adaspring.cli.adaspringctl", "--socket", f"{daemon.folder}/run", "events"]
    process = subprocess.Popen(
        [*command, *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    )
    assert process.stdout is not None
    assert process.stdout.readline()
    return process


def ended(process: subprocess.Popen[bytes]) -> tuple[int, Any]:
    """Exit status and standard error."""
    assert process.stderr is not None
    with process.stderr as stderr:
        said = stderr.read()
    return process.wait(timeout=10), said


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_reader_that_has_had_enough_is_no_error_to_trace(daemon: DaemonProcess, more: tuple[str, ...]) -> None:
    """As in ``adaspringctl events | head -1``."""
    process = listener(daemon, *more)
    assert process.stdout is not None
    process.stdout.close()
    assert (1, b"") == ended(process)


def test_control_c_ends_the_listening(daemon: DaemonProcess) -> None:
    """Quietly, with the status that shells give it."""
    process = listener(daemon, "--json")
    process.send_signal(signal.SIGINT)
    assert (130, b"") == ended(process)
    assert process.stdout is not None
    process.stdout.close()


def test_a_recording_can_be_replayed(ctl: Ctl, tmp_path: Path) -> None:
    """Contexts are kept one a line, as `adaspring simulate` reads them; a file that is there is left alone."""
    path = tmp_path / "day.jsonl"
    assert "4 events" in ctl("record", str(path), "--count", "4")
    trace = load_trace(path)
    assert len(trace.time_s) >= 2
    assert trace.findings == ()
    before = path.read_bytes()
    ctl("record", str(path), status=1)
    assert before == path.read_bytes()


def test_tables_are_told(ctl: Ctl) -> None:
    """Where the tables come from and what was learned about them, for people and for machines."""
    assert "atlas" in ctl("tables")
    view = msgspec.json.decode(ctl("tables", "--json"), type=TablesView)
    assert view.facts.estimate or view.atlas_members is None or view.atlas_members > 0


def test_keys_says_which_file_goes_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A pair of files; a second run with the same name fails and leaves them."""
    assert 0 == main(["keys", "board", "--folder", str(tmp_path)])
    assert {"board.key", "board.key_secret"} == {path.name for path in tmp_path.iterdir()}
    assert "give it to the other side" in capsys.readouterr().out
    assert 1 == main(["keys", "board", "--folder", str(tmp_path)])
