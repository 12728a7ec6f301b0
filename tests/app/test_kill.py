"""A daemon that is killed inside a step of a swap, or out of disk: what it leaves behind is whole."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from adaspring.app.decisions import DECISIONS, redecide
from adaspring.app.last import NAME, LastDecision
from adaspring.app.status import Status
from adaspring.bundle import Bundle
from adaspring.cli.process import DaemonProcess
from adaspring.engine import Engine
from adaspring.errors import ClientError

X = np.ones((3, 32), dtype=np.float32)
PATIENCE_S = 30.0
CONFIG: dict[str, Any] = {
    "device": {"profile": "generic-x86_64", "background_profiling": False},
    "engine": {"cache_mib": 0.0},
    "monitor": {"interval_s": 0.1},
    "policy": {"latency_p95_ms": 1000.0, "search_deadline_ms": 1000.0, "trigger": {"period_s": 3600.0}},
}
#: The process that imports this dies when it enters a function, once a file says so.
DEATH = """
import importlib, os, signal
module, *owner, name = {step!r}.split()
place = importlib.import_module(module)
for part in owner:
    place = getattr(place, part)
entered = getattr(place, name)
def dying(*args, **options):
    if os.path.exists({armed!r}):
        os.kill(os.getpid(), signal.SIGKILL)
    return entered(*args, **options)
setattr(place, name, dying)
"""
#: What a swap enters one after the other, by what a person calls it.
STEPS = {
    "search": "adaspring.decide.planner Planner choose",
    "assembly": "adaspring.engine.assemble Assembler assemble",
    "session": "onnxruntime InferenceSession",
    "warming": "adaspring.engine.onnx.engine warm",
    "flip": "adaspring.engine.base Active publish",
    "telling": "adaspring.app.evolution Evolver _recorded",
    "keeping the decision": "adaspring.app.decisions DecisionLog keep",
}


class Fault:
    """Kills daemons in a step, from when it is armed until it is disarmed."""

    def __init__(self, folder: Path) -> None:
        """Not armed, and in no step."""
        self._folder = folder
        self._armed = folder / "armed"

    def place(self, step: str) -> None:
        """Have the daemons that start from here on die when they enter a function."""
        text = DEATH.format(step=step, armed=str(self._armed))
        (self._folder / "sitecustomize.py").write_text(text, encoding="utf-8")

    def arm(self) -> None:
        """Die on the next entry."""
        self._armed.touch()

    def disarm(self) -> None:
        """Live on."""
        self._armed.unlink()


@pytest.fixture
def fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fault:
    """A fault for the daemons of a test."""
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}".rstrip(":"))
    return Fault(tmp_path)


@pytest.fixture
def make_daemon(small_bundle_folder: Path) -> Callable[[], DaemonProcess]:
    """Makes daemons that only a person causes to evolve."""
    return lambda: DaemonProcess(
        {"bundle": str(small_bundle_folder), **CONFIG}, sysroot=small_bundle_folder, timeout_s=PATIENCE_S
    )


def serves_rightly(daemon: DaemonProcess, bundle: Bundle, engine: Engine) -> None:
    """A client gets the answer of the subnet that the answer and the status name."""
    with daemon.client(timeout_s=PATIENCE_S, retries=0) as client, daemon.control() as control:
        answer = client.infer(X)
        assert answer.subnet == msgspec.convert(control.call("status"), Status).subnet
    expected = engine.prepare(bundle.space.parse(answer.subnet)).subnet.run(X[None])
    np.testing.assert_allclose(answer.outputs, expected, rtol=1e-5)


def decisions_kept(daemon: DaemonProcess, bundle: Bundle) -> int:
    """How many decisions were kept, each of which can be made again."""
    folders = (daemon.folder / "state" / "decisions" / bundle.manifest.name).iterdir()
    kept = [again for folder in folders for again in redecide(folder, bundle)]
    assert all(again.same for again in kept)
    return len(kept)


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_kill_9_in_a_step_of_a_swap_leaves_a_state_to_start_from(
    make_daemon: Callable[[], DaemonProcess], fault: Fault, small_bundle: Bundle, engine: Engine, step: str
) -> None:
    """The successor serves what it says it serves, swaps, and finds every decision that was kept whole."""
    fault.place(step)
    smallest = small_bundle.space.format(small_bundle.space.smallest())
    with make_daemon() as daemon:
        with daemon.control() as control:
            control.call("pin", subnet=smallest)
            fault.arm()
            with suppress(ClientError):
                control.call("evolve")
        assert -signal.SIGKILL == daemon.process.wait(PATIENCE_S)
        fault.disarm()
        daemon.__enter__()
        serves_rightly(daemon, small_bundle, engine)
        with daemon.control() as control:
            control.call("pin", subnet=smallest)
            control.call("evolve")
        serves_rightly(daemon, small_bundle, engine)
        assert decisions_kept(daemon, small_bundle)


@pytest.mark.parametrize("step", ["write", "replace", "sync_folder"])
def test_kill_9_while_the_last_subnet_is_written_down_leaves_a_state_to_start_from(
    make_daemon: Callable[[], DaemonProcess], fault: Fault, small_bundle: Bundle, engine: Engine, step: str
) -> None:
    """At any moment of writing there is a whole record, and a successor writes its own over what was left."""
    fault.place(f"adaspring.bundle.disk Disk {step}")
    with make_daemon() as daemon:
        with daemon.control() as control:
            control.call("pin", subnet=small_bundle.space.format(small_bundle.space.smallest()))
        with daemon.events() as events:
            # From the second look at the sensors on there is something newer than what was written at the first.
            looks = 0
            while looks < 3:
                event = events.receive(PATIENCE_S)
                assert event is not None
                looks += event.topic == "context"
        fault.arm()
        assert -signal.SIGKILL == daemon.stop(PATIENCE_S)
        fault.disarm()
        daemon.__enter__()
        serves_rightly(daemon, small_bundle, engine)
        assert 0 == daemon.stop(PATIENCE_S)
        record = (daemon.folder / "state" / NAME).read_bytes()
        assert small_bundle.digest == msgspec.json.decode(record, type=LastDecision).bundle


def test_a_disk_that_is_full_in_the_middle_of_a_decision_leaves_no_half_of_it(
    make_daemon: Callable[[], DaemonProcess], small_bundle: Bundle, engine: Engine
) -> None:
    """What does not fit is not kept, swaps go on, and what comes once there is room is kept whole."""
    with make_daemon() as daemon:
        before = decisions_kept(daemon, small_bundle)
        (log,) = (daemon.folder / "state" / "decisions").rglob(DECISIONS)
        _, hard = resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (log.stat().st_size + 100, hard))
        with daemon.control() as control:
            control.call("evolve")
        serves_rightly(daemon, small_bundle, engine)
        assert 0 == daemon.stop(PATIENCE_S)
        assert before == decisions_kept(daemon, small_bundle)
        daemon.__enter__()
        assert 0 == daemon.stop(PATIENCE_S)
        assert before < decisions_kept(daemon, small_bundle)
