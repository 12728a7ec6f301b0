"""Two models on one device: a daemon as a process of its own serves both, and decides for both together."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
import zmq

from adaspring.app.decisions import redecide
from adaspring.app.evolution import Evolution
from adaspring.app.status import Status
from adaspring.bundle import Bundle, load_bundle
from adaspring.cli.adaspringctl import main as adaspringctl
from adaspring.cli.process import DaemonProcess
from adaspring.cli.top.feed import Feed
from adaspring.client import EventSubscriber
from adaspring.decide import Decision
from adaspring.errors import ConfigError, InvalidArgumentError
from adaspring.resources import resource
from adaspring.serve import protocol
from tests.app.streaming import Oracle, Stream
from tests.app.waiting import eventually

if TYPE_CHECKING:
    from tests.app.conftest import Board

MODELS = ("har", "sound")
#: What the model of higher priority may lose while the other gives way, in points.
NEXT_TO_NOTHING = 0.5
#: Of 2000 MiB a share that is enough for both models at their best.
SHARE_PERCENT = 0.02
#: By what a running subnet may exceed a budget, and how near a smoothed reading has to come.
SLACK = 1.1 * 1.02
CONFIG: dict[str, Any] = {
    "models": [{"bundle": "har", "priority": 1}, {"bundle": "sound", "priority": 9, "latency_p95_ms": 2000.0}],
    "device": {"profile": "generic-x86_64", "background_profiling": False},
    "monitor": {"interval_s": 0.02},
    "policy": {
        "latency_p95_ms": 1000.0,
        "memory_share_percent": SHARE_PERCENT,
        "search_deadline_ms": 1000.0,
        "trigger": {
            "min_dwell_s": 0.02,
            "recovery_s": 0.1,
            "period_s": 3600.0,
            "event_rate_step_percent": 1e9,
            "memory_step_percent": 1.0,
        },
    },
}


@pytest.fixture(scope="module")
def bundles() -> dict[str, Bundle]:
    """Both bundles."""
    return {name: load_bundle(resource("models", name, "bundle")) for name in MODELS}


@pytest.fixture(scope="module")
def windows(bundles: dict[str, Bundle]) -> dict[str, Any]:
    """Inputs of both models."""
    rng = np.random.default_rng(0)
    return {
        name: rng.standard_normal((16, *bundle.manifest.input.shape), dtype=np.float32)
        for name, bundle in bundles.items()
    }


@pytest.fixture(scope="module")
def ample(make_board: type[Board], tmp_path_factory: pytest.TempPathFactory) -> Board:
    """A board with memory for both."""
    board = make_board(tmp_path_factory.mktemp("board"))
    board.show(memory_available_mib=2000.0)
    return board


@pytest.fixture(scope="module")
def daemon(ample: Board) -> Iterator[DaemonProcess]:
    """Serves both on that board."""
    with DaemonProcess(CONFIG, sysroot=ample.root) as running:
        yield running


def status_of(daemon: DaemonProcess, model: str) -> Status:
    """As `adaspringctl` reads it."""
    with daemon.control() as control:
        return msgspec.convert(control.call("status", model=model), Status)


def settled(events: EventSubscriber, seen: list[Evolution], memory_mib: float) -> dict[str, Decision]:
    """The decisions of both models once the context is that of so much memory; what came before is kept as well."""
    newest: dict[str, Decision] = {}
    while (event := events.receive(20)) is not None:
        if event.topic != "evolution":
            continue
        seen.append(msgspec.convert(event.data, Evolution))
        decision = seen[-1].decision
        assert decision is not None
        newest[seen[-1].model] = decision
        available = [decision.context.memory_available_mib or 0.0 for decision in newest.values()]
        if len(newest) == len(MODELS) and all(abs(mib - memory_mib) < 0.02 * memory_mib for mib in available):
            return newest
    raise AssertionError(f"the daemon did not decide for {memory_mib} MiB")


def test_the_lower_priority_gives_way_and_no_frame_is_lost(
    daemon: DaemonProcess, ample: Board, bundles: dict[str, Bundle], windows: dict[str, Any]
) -> None:
    """As memory gets short, sound is compressed and har hardly; then the floor of sound gives way and har's holds.

    Meanwhile frames for both go over the one socket, and each is answered by the model and subnet that it names.
    """
    best = {name: status_of(daemon, name) for name in MODELS}
    names = {name: {best[name].generation: best[name].subnet} for name in MODELS}
    seen: list[Evolution] = []
    with (
        daemon.events() as events,
        Stream(daemon, windows["har"], "har") as har,
        Stream(daemon, windows["sound"], "sound") as sound,
    ):
        assert events.receive(10)
        ample.show(memory_available_mib=385.0)
        short = settled(events, seen, 385.0)
        ample.show(memory_available_mib=170.0)
        shorter = settled(events, seen, 170.0)
        answered = [len(stream.results) for stream in (har, sound)]
        while any(len(stream.results) < count + 5 for stream, count in zip((har, sound), answered, strict=True)):
            time.sleep(0.01)
    ample.show(memory_available_mib=2000.0)

    lost = {name: best[name].predicted.accuracy_percent - short[name].predicted.accuracy_percent for name in MODELS}
    assert lost["har"] <= NEXT_TO_NOTHING < lost["sound"]
    assert short["sound"].predicted.memory_bytes < best["sound"].predicted.memory_bytes
    floors = {name: best[name].budgets.accuracy_percent for name in MODELS}
    assert short["sound"].predicted.accuracy_percent >= floors["sound"]
    together = short["har"].together
    assert together is not None
    assert (MODELS, True, True, ()) == (together.models, together.contended, together.proven, together.relaxed)
    assert together.subnets == tuple(short[name].text for name in MODELS)

    assert shorter["har"].predicted.accuracy_percent >= floors["har"]
    assert shorter["sound"].predicted.accuracy_percent < floors["sound"]
    together = shorter["sound"].together
    assert together is not None
    assert ["accuracy of sound"] == [relaxed.sentence.partition(" relaxed")[0] for relaxed in together.relaxed]
    for decisions, memory_mib in ((short, 385.0), (shorter, 170.0)):
        used_mib = sum(decision.predicted.memory_bytes for decision in decisions.values()) / 2**20
        assert used_mib <= memory_mib * SHARE_PERCENT / 100 * SLACK

    for evolution in seen:
        names[evolution.model][evolution.generation] = evolution.subnet
    for name, stream in (("har", har), ("sound", sound)):
        oracle = Oracle(bundles[name])
        for index, result in enumerate(stream.results):
            assert names[name][result.generation] == result.subnet
            oracle.check(windows[name][index % len(windows[name])], result)
        generations = [result.generation for result in stream.results]
        assert sorted(generations) == generations
        counts = status_of(daemon, name).requests
        assert (len(generations), 0, 0, 0) == (counts.answered, counts.failed, counts.expired, counts.undelivered)
        assert sum(counts.rejected.values()) == 0
    assert len({result.generation for result in sound.results}) >= 2


def test_one_connection_speaks_to_both(daemon: DaemonProcess, windows: dict[str, Any]) -> None:
    """Requests of one socket, mixed: every reply names the model that was asked and the subnet that it runs."""
    # Both adapt to memory that has come back, which the test before left them to.
    before, now = [""], [status_of(daemon, name).subnet for name in MODELS]
    while before != now:
        time.sleep(1.0)
        before, now = now, [status_of(daemon, name).subnet for name in MODELS]
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.linger, socket.rcvtimeo = 0, 10_000
        socket.connect(daemon.endpoint)
        for index in range(20):
            name = MODELS[index % 2]
            socket.send_multipart(protocol.encode_infer(str(index), name, "x", windows[name][:1]))
        for _ in range(20):
            _, kind, header, *_ = socket.recv_multipart()
            reply = msgspec.json.decode(header)
            name = MODELS[int(reply["id"]) % 2]
            assert (b"OK", name) == (kind, reply["model_name"])
            assert reply["parameters"]["subnet"] == status_of(daemon, name).subnet


def test_who_names_no_model_is_told_the_names(daemon: DaemonProcess) -> None:
    """Clients and operators alike."""
    with daemon.client() as client, pytest.raises(InvalidArgumentError, match="'har' or 'sound'"):
        client.meta()
    with daemon.control() as control:
        with pytest.raises(InvalidArgumentError, match="har, sound"):
            control.call("pin", subnet="f32:c16")
        with pytest.raises(InvalidArgumentError, match="har or sound"):
            control.call("status", model="fsdd")
        assert msgspec.convert(control.call("status"), Status).models == MODELS


def test_a_pin_holds_one_model_and_the_other_is_decided_for(daemon: DaemonProcess, bundles: dict[str, Bundle]) -> None:
    """While sound is pinned, an evolution decides for har alone, beside what sound takes; unpin decides for both."""
    space = bundles["sound"].space
    smallest = space.format(space.smallest())
    with daemon.control() as control:
        control.call("pin", subnet=smallest, model="sound")
        assert status_of(daemon, "sound").pinned
        evolution = msgspec.convert(control.call("evolve", model="har"), Evolution)
        assert evolution.decision is not None
        assert evolution.decision.together is not None
        assert evolution.decision.together.subnets[1] == smallest
        assert status_of(daemon, "sound").subnet == smallest
        control.call("unpin", model="sound")
        assert not status_of(daemon, "sound").pinned


def test_each_model_keeps_files_of_its_own(daemon: DaemonProcess) -> None:
    """Decisions and the last subnet lie apart, so that each starts warm."""
    state = daemon.folder / "state"
    for name in MODELS:
        assert list((state / "decisions" / name).glob("*/policy.json"))
    assert not (state / "last.json").exists()


def test_operators_see_each_model(daemon: DaemonProcess, capsys: pytest.CaptureFixture[str]) -> None:
    """`status`, `explain` and `tables` tell of both, or of the one that is named; `top` begins with the first."""

    def shown(*arguments: str) -> str:
        assert adaspringctl(["--socket", f"{daemon.folder}/run", *arguments]) == 0
        return capsys.readouterr().out

    for command in ("status", "explain", "tables"):
        assert len(json.loads(shown(command, "--json"))) == len(MODELS)
        assert isinstance(json.loads(shown(command, "--json", "--model", "sound")), dict)
    texts = {name: shown("status", "--model", name) for name in MODELS}
    assert [f"{name} 1 on" in texts[name] for name in MODELS] == [True, True]
    assert "priority 9 of 2 models" in " ".join(texts["sound"].split())
    assert "Together with the other models" in shown("explain", "--model", "har")
    assert "model 1 of 2" in shown("top", "--once")
    assert "AdaSpring sound" in shown("top", "--once", "--model", "sound")
    with Feed(f"ipc://{daemon.folder}/run/control.sock", f"ipc://{daemon.folder}/run/events.sock") as feed:
        for name in ("sound", "har"):
            feed.show_next()
            feed.look()
            assert feed.status.model == name
        assert {"har", "sound"} <= {happening.sentence.partition(":")[0] for happening in feed.happenings}


def test_two_bundles_of_one_model_are_refused(ample: Board) -> None:
    """No client could tell them apart."""
    folder = str(resource("models", "har", "bundle"))
    config = {**CONFIG, "models": [{"bundle": "har"}, {"bundle": folder}]}
    with (
        pytest.raises(ConfigError, match="several bundles are of the model 'har'"),
        DaemonProcess(config, sysroot=ample.root),
    ):
        pass


def test_decisions_about_both_are_made_again(ample: Board, bundles: dict[str, Bundle], tmp_path: Path) -> None:
    """What a daemon kept of each model gives the same decisions again, bit for bit, and the next one starts warm."""
    for expected in ("", "warm"):
        with DaemonProcess(CONFIG, sysroot=ample.root, state=tmp_path) as running:
            with running.control() as control:
                first = [msgspec.convert(control.call("explain", model=name), Evolution) for name in MODELS]
                control.call("evolve")
            # Kept at the first look at the sensors, which a daemon that is stopped at once does not take.
            assert eventually(lambda: all((tmp_path / f"last-{name}.json").exists() for name in MODELS))
            assert running.stop() == 0
        incumbents = [evolution.decision.incumbent for evolution in first if evolution.decision]
        assert [(expected == "warm")] * len(MODELS) == [incumbent is not None for incumbent in incumbents]
    for name, bundle in bundles.items():
        folders = list((tmp_path / "decisions" / name).iterdir())
        again = [each for folder in folders for each in redecide(folder, bundle)]
        assert len(again) >= 4
        assert all(each.same and each.kept.together is not None for each in again)


def test_http_lists_and_serves_each_model(ample: Board, free_port: int, windows: dict[str, Any]) -> None:
    """The index of models, and each below its own name."""
    base = f"http://127.0.0.1:{free_port}/v2"

    def ask(path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(f"{base}{path}", data=data, timeout=10) as reply:  # noqa: S310 - http alone
            return json.loads(reply.read() or b"null")

    with DaemonProcess({**CONFIG, "serve": {"http": f"127.0.0.1:{free_port}"}}, sysroot=ample.root):
        assert [(each["name"], each["state"]) for each in ask("/repository/index", {})] == [
            (name, "READY") for name in MODELS
        ]
        for name in MODELS:
            x = windows[name][:1]
            tensor = {"name": "x", "datatype": "FP32", "shape": x.shape, "data": x.ravel().tolist()}
            assert (
                name
                == ask(f"/models/{name}/infer", {"inputs": [tensor]})["model_name"]
                == ask(f"/models/{name}")["name"]
            )
