"""The daemon as a process of its own, on real sockets and real files."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
import zmq

from adaspring.app.daemon import _serving
from adaspring.app.evolution import Evolution
from adaspring.app.status import Status
from adaspring.bundle import load_bundle
from adaspring.cli.process import DaemonProcess
from adaspring.client import AsyncClient, EventSubscriber, Result
from adaspring.engine.base import Active
from adaspring.errors import ConfigError
from adaspring.resources import resource
from adaspring.scheduling import LONG_SLICE_MS, slice_ms
from adaspring.serve.endpoint import DATA_MODE, claim
from adaspring.serve.lane import Lane
from adaspring.serve.protocol import ModelSignature
from adaspring.serve.server import DataPlane
from benchmarks.footprint import wakeups
from tests.app.streaming import Oracle, Stream

if TYPE_CHECKING:
    from tests.app.conftest import Board, Manager
    from tests.conftest import ToySubnet

#: Causes come as soon as the context changes, and only those that the test brings about.
QUICK: dict[str, Any] = {
    "device": {"profile": "generic-x86_64", "background_profiling": False},
    "monitor": {"interval_s": 0.02},
    "policy": {
        "latency_p95_ms": 1000.0,
        "hot_temperature_c": 50.0,
        "search_deadline_ms": 100.0,
        "trigger": {
            "min_dwell_s": 0.02,
            "recovery_s": 0.1,
            "period_s": 3600.0,
            "event_rate_step_percent": 1e9,
            "latency_slack_percent": 1e9,
        },
    },
}
#: What SIGTERM may take until the process is gone.
STOP_S = 2.0


@pytest.fixture(scope="module")
def windows() -> npt.NDArray[np.float32]:
    """Real windows of a waist-worn sensor."""
    with np.load(resource("models", "har", "sample", "sample.npz"), allow_pickle=False) as arrays:
        x: npt.NDArray[np.float32] = arrays["x"][:64].astype(np.float32)
    return x


@pytest.fixture(scope="module")
def har_oracle() -> Oracle:
    """Of the HAR bundle."""
    return Oracle(load_bundle(resource("models", "har", "bundle")))


@pytest.fixture(scope="module")
def har_board(make_board: type[Board], tmp_path_factory: pytest.TempPathFactory) -> Board:
    """The board of the HAR daemon."""
    return make_board(tmp_path_factory.mktemp("board"))


@pytest.fixture(scope="module")
def har(har_board: Board) -> Iterator[DaemonProcess]:
    """A daemon that serves HAR on a board of files."""
    with DaemonProcess({"bundle": "har", **QUICK}, sysroot=har_board.root) as daemon:
        yield daemon


@pytest.fixture(scope="module")
def small(small_bundle_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    """A daemon that serves the small bundle on a board without sensors."""
    config = {"bundle": str(small_bundle_folder), **QUICK}
    with DaemonProcess(config, sysroot=tmp_path_factory.mktemp("nothing")) as daemon:
        yield daemon


def status_of(daemon: DaemonProcess) -> Status:
    """As `adaspringctl` reads it."""
    with daemon.control() as control:
        return msgspec.convert(control.call("status"), Status)


def test_frames_are_answered_by_the_subnet_they_name(
    har: DaemonProcess, har_oracle: Oracle, windows: npt.NDArray[np.float32]
) -> None:
    """Single windows and batches get the logits of the active subnet, with labels of the bundle."""
    labels = load_bundle(resource("models", "har", "bundle")).manifest.output.labels
    with har.client() as client:
        single, batch = client.infer(windows[0]), client.infer(windows)
    har_oracle.check(windows[0], single)
    har_oracle.check(windows, batch)
    assert status_of(har).subnet == single.subnet
    assert (len(windows), len(labels)) == batch.outputs.shape
    assert set(batch.labels) <= set(labels)


def test_evolutions_lose_no_frame(
    har: DaemonProcess, har_board: Board, har_oracle: Oracle, windows: npt.NDArray[np.float32]
) -> None:
    """Each change of the board evolves and names its cause; each frame gets the answer of the generation it names."""
    first = status_of(har)
    names = {first.generation: first.subnet}
    seen: list[Evolution] = []

    def wait_for(events: EventSubscriber, kind: str) -> Evolution:
        while (event := events.receive(10)) is not None:
            if event.topic == "evolution":
                seen.append(msgspec.convert(event.data, Evolution))
                if seen[-1].cause.kind == kind:
                    return seen[-1]
        raise AssertionError(f"no evolution for {kind} came")

    with har.events() as events, Stream(har, windows) as stream:
        assert events.receive(10)
        har_board.show(plugged=True)
        powered = wait_for(events, "power")
        har_board.show(plugged=True, throttled=True, clock_mhz=1000.0)
        throttled = wait_for(events, "emergency")
        har_board.show(plugged=True)
        recovered = wait_for(events, "recovery")
        har_board.show(plugged=True, temperature_c=79.0)
        heated = wait_for(events, "temperature")
        har_board.show(temperature_c=79.0, battery_percent=15.0)
        wait_for(events, "power")
        har_board.show(temperature_c=79.0, battery_percent=5.0)
        drained = wait_for(events, "battery")
        har_board.show(battery_percent=5.0, plugged=True)
        wait_for(events, "power")
        answered = len(stream.results)
        while len(stream.results) < answered + 10:
            time.sleep(0.01)
    har_board.show()

    assert throttled.swapped
    assert recovered.swapped
    assert powered.subnet != throttled.subnet
    assert "throttled" in throttled.cause.sentence
    assert "°C" in heated.cause.sentence
    assert drained.cause.sentence == "battery went from 15 to 5 %"
    names |= {evolution.generation: evolution.subnet for evolution in seen}
    for index, result in enumerate(stream.results):
        assert names[result.generation] == result.subnet
        har_oracle.check(windows[index % len(windows)], result)
    generations = [result.generation for result in stream.results]
    assert sorted(generations) == generations
    assert len(set(generations)) >= 3
    statistics = status_of(har).requests
    # Who asked whether the daemon was up yet may not have waited for the answer.
    undelivered = statistics.undelivered - first.requests.undelivered
    assert (0, 0, 0) == (statistics.failed, statistics.expired, undelivered)
    assert sum(statistics.rejected.values()) == 0


def test_sockets_are_open_to_the_group_alone(small: DaemonProcess) -> None:
    """The group of the daemon may infer and listen, its user alone controls, and others get no further."""
    run = small.folder / "run"
    modes = {name: (run / f"{name}.sock").stat().st_mode & 0o777 for name in ("infer", "events", "control")}
    assert {"infer": 0o660, "events": 0o660, "control": 0o600} == modes
    assert run.stat().st_mode & 0o777 == 0o750


def test_absent_sensors_are_told_with_their_reasons(small: DaemonProcess) -> None:
    """On a board without any sensor the daemon serves, makes nothing up, and says for each what is missing."""
    status = status_of(small)
    absent = {name for name, reading in status.readings.items() if reading.value is None}
    assert {"battery_percent", "external_power", "temperature_c", "throttled", "memory_available_mib"} <= absent
    assert all(status.readings[name].reason for name in absent)
    assert {name for name in absent if hasattr(status.context, name)} == set(status.context.reasons)
    assert "unknown" in status.budgets.reasons["importance"]


def test_second_daemon_gets_no_further_and_does_no_harm(small: DaemonProcess) -> None:
    """On the same sockets it exits 78 and names who is there, who goes on serving."""
    before = status_of(small)
    config = small.folder / "adaspringd.toml"
    command = [sys.executable, "-m", "adaspring.cli.adaspringd", "--config", str(config)]
    second = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert second.returncode == 78
    assert f"another daemon (process {small.process.pid}) serves {small.folder}/run/infer.sock" in second.stderr
    assert "Traceback" not in second.stderr
    after = status_of(small)
    assert (before.subnet, before.generation) == (after.subnet, after.generation)
    with small.client() as client:
        assert client.ready()


def test_sigterm_answers_what_is_under_way(windows: npt.NDArray[np.float32], har_oracle: Oracle) -> None:
    """All requests that were sent are answered rightly; the process exits 0 in time and leaves no socket."""
    batch = windows[:16]

    async def ask(daemon: DaemonProcess) -> list[Result]:
        async with AsyncClient(daemon.endpoint, timeout_s=10.0) as client:
            await client.infer(batch)
            pending = [asyncio.ensure_future(client.infer(batch)) for _ in range(16)]
            await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            daemon.process.terminate()
            return await asyncio.gather(*pending)

    with DaemonProcess({"bundle": "har", **QUICK}) as daemon:
        results = asyncio.run(ask(daemon))
        assert daemon.process.wait(timeout=STOP_S) == 0
        assert [] == list((daemon.folder / "run").iterdir())
        assert "Traceback" not in daemon.log.read_text()
    assert len(results) == 16
    for result in results:
        har_oracle.check(batch, result)


def test_damaged_bundle_is_refused_by_name(small_bundle_folder: Path, tmp_path: Path) -> None:
    """One flipped byte is enough: exit 78, with the file."""
    path = tmp_path / "bundle"
    shutil.copytree(small_bundle_folder, path)
    content = bytearray((path / "weights.safetensors").read_bytes())
    content[len(content) // 2] ^= 1
    (path / "weights.safetensors").write_bytes(content)
    with (
        pytest.raises(ConfigError, match=rf"ended with 78: .*{path}: weights\.safetensors is not the file"),
        DaemonProcess({"bundle": str(path), **QUICK}),
    ):
        pass


@pytest.fixture
def blocked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Child processes in which torch, systemd, jtop and h11 cannot be imported."""
    # An entry of None is what the import system itself takes for a module that must not be imported.
    text = "import sys\nsys.modules.update(dict.fromkeys(('torch', 'systemd', 'jtop', 'h11')))\n"
    (tmp_path / "sitecustomize.py").write_text(text, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}".rstrip(":"))


@pytest.mark.usefixtures("blocked")
def test_service_manager_is_told_without_optional_libraries(
    small_bundle_folder: Path, make_manager: type[Manager], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without torch, systemd-python, jtop and h11 the daemon serves: READY, a ping now and then, STOPPING on SIGINT."""
    manager = make_manager(f"@adaspring-daemon-{os.getpid()}")
    monkeypatch.setenv("NOTIFY_SOCKET", manager.name)
    monkeypatch.setenv("WATCHDOG_USEC", "100000")
    config = {"bundle": str(small_bundle_folder), **QUICK, "monitor": {"interval_s": 60.0}}
    with DaemonProcess(config) as daemon:
        blocked = subprocess.run([sys.executable, "-c", "import torch"], capture_output=True, check=False)
        assert b"import of torch halted" in blocked.stderr
        with daemon.client() as client:
            assert client.infer(np.zeros((3, 32), dtype=np.float32)).generation == 1
        told: list[str] = []
        until_s = time.monotonic() + 10
        while told.count("WATCHDOG=1") < 3 and time.monotonic() < until_s:
            told += manager.heard()
            time.sleep(0.01)
        daemon.process.send_signal(signal.SIGINT)
        assert daemon.process.wait(timeout=STOP_S) == 0
    told += manager.heard()
    manager.leave()
    assert told.count("READY=1") == 1
    assert told.index("READY=1") < told.index("WATCHDOG=1")
    assert told.count("WATCHDOG=1") >= 3
    assert any(line.startswith("STATUS=f32:") for line in told)
    assert told[-1] == "STOPPING=1"


@pytest.mark.usefixtures("own_measuring_lock")
def test_without_tables_an_estimate_serves_until_they_are_measured(
    small_bundle_folder: Path, nearly_profiled: Callable[..., Path], tmp_path: Path
) -> None:
    """A marked estimate at once, profiling beside it, measured tables adopted; the device profile may be a file."""
    text = (resource("device_profiles") / "generic-x86_64.toml").read_text(encoding="utf-8")
    profile = tmp_path / "field-board.toml"
    profile.write_text(text.replace('name = "generic-x86_64"', 'name = "field-board"'), encoding="utf-8")
    tables = nearly_profiled(tmp_path / "state", "field-board")
    config = {"bundle": str(small_bundle_folder), **QUICK, "device": {"profile": str(profile)}}
    with DaemonProcess(config, state=tmp_path / "state") as daemon, daemon.client() as client:
        status = status_of(daemon)
        assert (True, True, "field-board") == (status.profiling, status.tables.estimate, status.device)
        until_s = time.monotonic() + 100
        while status.tables.estimate and time.monotonic() < until_s:
            client.infer(np.zeros((3, 32), dtype=np.float32))
            status = status_of(daemon)
            time.sleep(0.02)
        assert (False, False) == (status.profiling, status.tables.estimate)
        assert tables.is_file()
        log = daemon.log.read_text()
        assert "deciding from an estimate while profiling runs in the background" in log
        assert "because measured tables replace the estimate" in log
        assert daemon.stop() == 0


def test_an_idle_daemon_sleeps(small_bundle_folder: Path, har_board: Board) -> None:
    """All threads together wake up at most ten times a second, sensors and watch over both included."""
    device = {"profile": "generic-x86_64", "background_profiling": False}
    with DaemonProcess({"bundle": str(small_bundle_folder), "device": device}, sysroot=har_board.root) as daemon:
        with daemon.client() as client:
            client.infer(np.zeros((3, 32), dtype=np.float32))
        before, began_s = wakeups(daemon.process.pid), time.monotonic()
        time.sleep(4.0)
        assert wakeups(daemon.process.pid) - before <= 10 * (time.monotonic() - began_s)


@pytest.mark.skipif(slice_ms() is None, reason="this kernel is older than 6.12 and tells no slices")
def test_the_control_thread_gives_way_to_those_that_carry_frames(small_bundle_folder: Path, har_board: Board) -> None:
    """It runs in long slices, and so is interrupted at once; the others run in those that all have."""
    device = {"profile": "generic-x86_64", "background_profiling": False}
    with DaemonProcess({"bundle": str(small_bundle_folder), "device": device}, sysroot=har_board.root) as daemon:
        with daemon.client() as client:
            client.infer(np.zeros((3, 32), dtype=np.float32))
        control = daemon.process.pid
        threads = [int(task.name) for task in Path(f"/proc/{control}/task").iterdir()]
        slices = {thread: slice_ms(thread) for thread in threads}
    assert slices.pop(control) == LONG_SLICE_MS
    # The thread that loads subnets beside frames gives way as well; that of the data plane and of libzmq do not.
    assert len([own for own in slices.values() if own != LONG_SLICE_MS]) >= 3


@pytest.mark.parametrize(("name", "engine"), [("auto", "torch"), ("onnxruntime", "onnxruntime")])
def test_the_profile_chooses_the_engine_and_the_configuration_may_force_another(
    small_bundle_folder: Path, tmp_path: Path, name: str, engine: str
) -> None:
    """A board whose profile names torch is served by torch, unless onnxruntime is configured."""
    pytest.importorskip("torch")
    text = (resource("device_profiles") / "generic-x86_64.toml").read_text(encoding="utf-8")
    profile = tmp_path / "torch-board.toml"
    text = text.replace('name = "generic-x86_64"', 'name = "torch-board"')
    profile.write_text(text.replace('engine = "onnxruntime"', 'engine = "torch"'), encoding="utf-8")
    device = {"profile": str(profile), "background_profiling": False}
    config = {"bundle": str(small_bundle_folder), **QUICK, "device": device, "engine": {"name": name}}
    with DaemonProcess(config, timeout_s=60.0) as daemon, daemon.client() as client:
        assert status_of(daemon).engine.startswith(f"{engine}-")
        assert (1, 4) == client.infer(np.zeros((3, 32), dtype=np.float32)).outputs.shape


def test_failed_data_thread_ends_the_daemon(socket_folder: Path, toy_subnet: type[ToySubnet]) -> None:
    """A data thread that ends by itself is noticed at once, and what it failed of is handed on."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    ended = threading.Event()
    model = ModelSignature("toy", "1", "x", (2, 3), "logits", 3, ())
    with claim(f"ipc://{socket_folder}/infer.sock", mode=DATA_MODE) as claimed:
        plane = DataPlane(context, claimed, [Lane(model, Active(toy_subnet()))], idle_s=0.02)
        plane.bind()
        serving = _serving(plane, ended.set)
        serving.__enter__()
        context.term()  # as if libzmq had failed
        assert ended.wait(10)
        with pytest.raises(zmq.ContextTerminated):
            serving.__exit__(None, None, None)
