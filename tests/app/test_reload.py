"""Reloads and updates of a daemon that serves meanwhile, as processes of their own."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adaspring.bundle import Store
from adaspring.cli.adaspringctl import main
from adaspring.cli.process import DaemonProcess
from adaspring.client import ControlClient
from adaspring.errors import ClientError, InvalidArgumentError

CONFIG: dict[str, Any] = {
    "bundle": "toy",
    "bundles": {"allow_unsigned": True},
    "device": {"profile": "generic-x86_64", "background_profiling": False},
    "monitor": {"interval_s": 0.05},
    "policy": {"trigger": {"min_dwell_s": 3600.0}},
}
X = np.random.default_rng(0).standard_normal((3, 32), dtype=np.float32)


def status(control: ControlClient, began_after_s: float = 0.0) -> dict[str, Any]:
    """Of a daemon that began after a moment of the monotonic clock."""
    until_s = time.monotonic() + 60
    while (now_s := time.monotonic()) < until_s:
        with suppress(ClientError):
            told: dict[str, Any] = control.call("status")
            if now_s - told["uptime_s"] > began_after_s:
                return told
        time.sleep(0.02)
    raise AssertionError("the daemon does not answer")


@pytest.fixture
def state(versions: Callable[[str], Path], tmp_path: Path) -> Path:
    """A state folder in which version 1 is installed and committed."""
    store = Store(tmp_path / "state" / "bundles" / "toy")
    store.install(versions("1"), keys=(), allow_unsigned=True)
    store.commit()
    return tmp_path / "state"


def ctl(daemon: DaemonProcess, *arguments: str) -> int:
    """Run ``adaspringctl`` on a daemon and its store."""
    options = ["--config", str(daemon.folder / "adaspringd.toml")]
    return main(["--socket", str(daemon.folder / "run"), "bundle", *arguments, *options])


def test_update_while_serving_loses_no_request(versions: Callable[[str], Path], state: Path, tmp_path: Path) -> None:
    """Clients ask on while a bundle is installed and rolled back; each request is answered, the process stays."""
    stop = threading.Event()
    answered, lost = [0, 0], []

    def ask(index: int, daemon: DaemonProcess) -> None:
        with daemon.client(retries=10) as client:
            while not stop.is_set():
                try:
                    client.infer(X)
                except ClientError as error:
                    lost.append(error)
                answered[index] += 1

    with DaemonProcess(CONFIG, state=state, sysroot=tmp_path / "nothing") as daemon, daemon.control() as control:
        threads = [threading.Thread(target=ask, args=(index, daemon)) for index in range(2)]
        for thread in threads:
            thread.start()
        try:
            assert status(control)["bundle_version"] == "1"
            assert ctl(daemon, "install", str(versions("2"))) == 0
            assert status(control)["bundle_version"] == "2"
            assert ctl(daemon, "rollback") == 0
            assert status(control)["bundle_version"] == "1"
        finally:
            stop.set()
            for thread in threads:
                thread.join(60)
        assert daemon.process.poll() is None
    assert [] == lost
    assert min(answered) > 0


def test_damaged_bundle_is_rolled_back_at_start(versions: Callable[[str], Path], state: Path, tmp_path: Path) -> None:
    """A version on trial that cannot be loaded does not keep the daemon from serving the one before."""
    store = Store(state / "bundles" / "toy")
    name = store.install(versions("2"), keys=(), allow_unsigned=True)
    (store.path(name) / "weights.safetensors").write_bytes(b"")
    with DaemonProcess(CONFIG, state=state, sysroot=tmp_path / "nothing") as daemon, daemon.control() as control:
        assert status(control)["bundle_version"] == "1"


def test_reload_by_signal_takes_new_configuration(state: Path, tmp_path: Path) -> None:
    """SIGHUP begins again with what the file says now; what could not start is refused, and all goes on."""
    with DaemonProcess(CONFIG, state=state, sysroot=tmp_path / "nothing") as daemon, daemon.control() as control:
        config = daemon.folder / "adaspringd.toml"
        good = config.read_text()
        config.write_text("seed = -1\n" + good)
        with pytest.raises(InvalidArgumentError, match="seed must not be negative"):
            control.call("reload")
        config.write_text(f"{good}\n[serve]\ntcp = 'tcp://127.0.0.1:1'\ncurve_secret = 'x'\ncurve_clients = 'y'\n")
        with pytest.raises(InvalidArgumentError, match=r"serve\.curve_secret"):
            control.call("reload")
        daemon.process.send_signal(signal.SIGHUP)
        status(control)
        asked_s = time.monotonic()
        config.write_text("seed = 1\n" + good)
        daemon.process.send_signal(signal.SIGHUP)
        status(control, asked_s)
        with daemon.client() as client:
            client.infer(X)
        assert daemon.stop() == 0


def test_warm_start_begins_from_the_last_subnet(state: Path, tmp_path: Path) -> None:
    """What served last is in the state folder, and a daemon that starts from it serves."""
    for _ in range(2):
        with DaemonProcess(CONFIG, state=state, sysroot=tmp_path / "nothing") as daemon, daemon.control() as control:
            subnet = status(control)["subnet"]
            while not (state / "last.json").exists():
                time.sleep(0.02)
            assert daemon.stop() == 0
        assert subnet == json.loads((state / "last.json").read_text())["subnet"]


def test_late_subscriber_is_brought_up_to_date(state: Path, tmp_path: Path) -> None:
    """The control socket gives the newest event of each topic with its number, and recent decisions."""
    with DaemonProcess(CONFIG, state=state, sysroot=tmp_path / "nothing") as daemon, daemon.control() as control:
        events = {event["topic"]: event for event in control.call("snapshot")}
        assert events["evolution"]["sequence"] == 1
        decisions = control.call("decisions")
    assert [events["evolution"]["data"]] == decisions
    assert "boot_id" in decisions[0]
