"""A board of files, parts of a daemon on the small bundle, and daemons of both kinds: in this process and beside it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import zmq

from adaspring.app.announce import Announcer
from adaspring.app.background import BackgroundProfiler
from adaspring.app.control import ControlLoop
from adaspring.app.counters import FrameCounters
from adaspring.app.evolution import Evolver
from adaspring.app.learning import Learner
from adaspring.app.notify import Notifier
from adaspring.app.served import Served
from adaspring.app.signature import signature
from adaspring.app.upkeep import TableKeeper
from adaspring.boards import DeviceProfile, load_profile
from adaspring.bundle import Bundle
from adaspring.client import Client, ControlClient, EventSubscriber
from adaspring.context import Monitor
from adaspring.decide import Planner, Policy, Trigger
from adaspring.engine import Engine, Prepared, SubnetCache
from adaspring.engine.onnx.engine import OnnxEngine
from adaspring.errors import EngineError
from adaspring.profile import Plan, estimate_tables, tables_path, with_atlas
from adaspring.profile.profiler import sample
from adaspring.resources import resource
from adaspring.serve.control import ControlServer
from adaspring.serve.endpoint import CONTROL_MODE, DATA_MODE, claim
from adaspring.serve.events import EventPublisher
from adaspring.serve.lane import Lane
from adaspring.serve.server import DataPlane
from adaspring.simulate import DayState, LiveTree
from adaspring.space import Genome, analytic_tables
from adaspring.tables import DeviceTables, SlotTable

#: Name of the device profile that tests use, whatever machine they run on.
PROFILE = "generic-x86_64"

CALM = DayState(
    time_s=0.0,
    activity="test",
    events_hz=0.0,
    load=0.0,
    cpu_percent=10.0,
    battery_percent=90.0,
    plugged=False,
    current_ma=-500.0,
    voltage_v=4.0,
    capacity_mah=3000.0,
    ambient_c=20.0,
    temperature_c=45.0,
    throttled=False,
    clock_mhz=1500.0,
    full_clock_mhz=1500.0,
    memory_total_mib=2048.0,
    memory_available_mib=1000.0,
    memory_pressure_percent=0.0,
    cores=4,
)


class Board:
    """A tree of sensor files that stands for a battery board on a cool day, until a test changes the weather."""

    def __init__(self, root: Path) -> None:
        """Write the tree."""
        self.root = root
        self._tree = LiveTree(root)
        self.show()

    def show(self, **changes: Any) -> None:
        """Bring the files up to `CALM` with these changes, and no others."""
        self._tree.write(msgspec.structs.replace(CALM, **changes))


@pytest.fixture(scope="session")
def make_board() -> type[Board]:
    """Makes boards."""
    return Board


@pytest.fixture
def board(tmp_path: Path) -> Board:
    """A board of the test's own."""
    return Board(tmp_path / "board")


@pytest.fixture(scope="session")
def profile() -> DeviceProfile:
    """The device profile that tests use."""
    return load_profile(PROFILE, folder=resource("device_profiles"))


@pytest.fixture(scope="session")
def engine(small_bundle: Bundle) -> OnnxEngine:
    """The engine of the small bundle."""
    return OnnxEngine(small_bundle)


@pytest.fixture(scope="session")
def estimate(small_bundle: Bundle, engine: OnnxEngine, profile: DeviceProfile) -> DeviceTables:
    """Estimated tables of the small bundle."""
    return estimate_tables(small_bundle, engine.name, profile)


@pytest.fixture(scope="session")
def as_measured(small_bundle: Bundle, estimate: DeviceTables) -> DeviceTables:
    """Tables that say they were measured, with their atlas."""
    facts = msgspec.structs.replace(estimate.facts, estimate=False, subnets=100, session_mib=0.1)
    return with_atlas(small_bundle, msgspec.structs.replace(estimate, facts=facts))


#: A machine that others use too must not cut a search short: tests compare what it finds.
PATIENT_MS = 1000.0
#: Triggers that a test need not wait for, and that the test's own frames do not pull.
QUICK_POLICY = msgspec.convert(
    {
        "search_deadline_ms": PATIENT_MS,
        "emergency_utilisation": 1e-3,
        "trigger": {"min_dwell_s": 0.01, "recovery_s": 0.05, "period_s": 3600.0, "event_rate_step_percent": 1e9},
    },
    Policy,
)


@pytest.fixture(scope="session")
def make_planner(small_bundle: Bundle, estimate: DeviceTables) -> Callable[..., Planner]:
    """Makes planners of the small bundle."""

    def make(policy: Policy = QUICK_POLICY, tables: DeviceTables = estimate) -> Planner:
        return Planner(small_bundle.space, small_bundle.accuracy.percent, tables, policy)

    return make


@pytest.fixture(scope="session")
def nearly_profiled(small_bundle: Bundle, engine: OnnxEngine) -> Callable[..., Path]:
    """Puts aside in a state folder what a profile that was cut near its end would have; returns where tables go.

    The latencies in it follow the MACs. A run that goes on from it is done in a moment.
    """

    def leave(state: Path, device: str = PROFILE) -> Path:
        space = small_bundle.space
        genomes = sample(space, Plan())[:-16]
        low_us = 20 + 1e-3 * SlotTable.of_macs(space, analytic_tables(space)).evaluate(space, genomes)
        target = tables_path(state, small_bundle.digest, device, engine.name)
        target.parent.mkdir(parents=True)
        np.savez(target.with_suffix(".partial.npz"), genomes=genomes, low_us=low_us, tail_us=1.2 * low_us)
        return target

    return leave


class Manager:
    """The end of the notification socket that a service manager holds."""

    def __init__(self, name: str) -> None:
        """Listen on a path, or on an abstract name that begins with ``@``."""
        self.name = name
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + name[1:] if name.startswith("@") else name)
        self._socket.settimeout(0.0)

    def heard(self) -> list[str]:
        """What has come since the last call, one datagram each."""
        lines: list[str] = []
        with suppress(BlockingIOError):
            while True:
                lines.append(self._socket.recv(4096).decode())
        return lines

    def leave(self) -> None:
        """Go away, and leave a path behind as a crash does."""
        self._socket.close()


@pytest.fixture(scope="session")
def make_manager() -> type[Manager]:
    """Makes service managers."""
    return Manager


class FaultyEngine:
    """An engine that fails when it is told to, as one does on a board without memory."""

    def __init__(self, engine: Engine) -> None:
        """Stand in front of a sound engine."""
        self.name = engine.name
        self.broken = False
        self._engine = engine

    def prepare(self, genome: Genome) -> Prepared:
        """Prepare, or fail."""
        if self.broken:
            raise EngineError("there is no memory left")
        return self._engine.prepare(genome)


@pytest.fixture
def faulty_engine(engine: OnnxEngine) -> FaultyEngine:
    """Sound until a test breaks it."""
    return FaultyEngine(engine)


class RunningLoop:
    """A control loop and its data plane, each in a thread of its own, without a process around them.

    Attributes:
        evolver: Of the loop.
        learner: Of the loop.
        told: What the service manager heard.
    """

    def __init__(
        self,
        folder: Path,
        bundle: Bundle,
        cache: SubnetCache,
        make_planner: Callable[..., Planner],
        sysroot: Path,
        *,
        background: BackgroundProfiler | None = None,
        replan: Callable[[], Planner] | None = None,
        **options: Any,
    ) -> None:
        """Wire everything as the daemon does; `options` are those of `ControlLoop` that the test wants otherwise."""
        self.told: list[str] = []
        self._endpoints = {name: f"ipc://{folder}/{name}.sock" for name in ("infer", "events", "control")}
        self._stack = ExitStack()
        claims = {
            name: self._stack.enter_context(claim(endpoint, mode=CONTROL_MODE if name == "control" else DATA_MODE))
            for name, endpoint in self._endpoints.items()
        }
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._stack.callback(context.term)
        counters = FrameCounters()
        monitor = Monitor(sysroot, counters, deadline_s=10.0)
        planner = make_planner()
        self.learner = Learner(folder / "learned.json", planner.tables)
        planner.correction, planner.energy_correction = self.learner.latency, self.learner.energy
        sensed = monitor.tick()
        self.evolver, first = Evolver.begin(bundle.space, planner, cache, sensed, seed=0, wall=lambda: "now")
        self.lane = lane = Lane(signature(bundle, None), self.evolver.active)
        self.plane = DataPlane(context, claims["infer"], [lane], idle_s=0.02)
        self._stack.callback(self.plane.close)
        counters.attach(self.plane, lane)
        events = EventPublisher(context, claims["events"])
        self._stack.callback(events.close)
        control = ControlServer(context, claims["control"])
        self._stack.callback(control.close)
        self.plane.bind()
        served = Served(
            bundle=bundle,
            lane=lane,
            evolver=self.evolver,
            counters=counters,
            trigger=Trigger(QUICK_POLICY),
            keeper=TableKeeper(self.evolver, counters, self.learner, background, replan or make_planner),
            first=first,
        )
        self.loop = ControlLoop(
            **{
                "models": [served],
                "device": PROFILE,
                "engine": cache.engine.name,
                "interval_s": 0.02,
                "monitor": monitor,
                "data": self.plane,
                "control": control,
                "announcer": Announcer(events, Notifier(self.told.append, 0.02), self.plane, sensed),
                **options,
            }
        )
        self._threads = [threading.Thread(target=self.plane.run), threading.Thread(target=self.loop.run)]
        for thread in self._threads:
            thread.start()

    def client(self) -> Client:
        """Of the inference socket."""
        return Client(self._endpoints["infer"])

    def control(self) -> ControlClient:
        """Of the control socket."""
        return ControlClient(self._endpoints["control"])

    def events(self) -> EventSubscriber:
        """Of the event socket; it has heard an event, so from now on it misses none."""
        events = EventSubscriber(self._endpoints["events"], timeout_s=10)
        assert events.receive(10)
        return events

    def stop(self) -> None:
        """End both threads."""
        self.loop.stop()
        self.plane.stop()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()
        self._stack.close()


@pytest.fixture
def run_loop(
    socket_folder: Path,
    small_bundle: Bundle,
    engine: OnnxEngine,
    make_planner: Callable[..., Planner],
    board: Board,
) -> Iterator[Callable[..., RunningLoop]]:
    """Starts control loops on the small bundle and the test's board, and stops them after the test."""
    with ExitStack() as loops:

        def start(cache: SubnetCache | None = None, **options: Any) -> RunningLoop:
            made = RunningLoop(
                socket_folder,
                small_bundle,
                # An empty cache is false.
                SubnetCache(engine, 4) if cache is None else cache,
                make_planner,
                board.root,
                **options,
            )
            loops.callback(made.stop)
            return made

        yield start


@pytest.fixture
def make_profiler(small_bundle_folder: Path, tmp_path: Path) -> Iterator[Callable[..., BackgroundProfiler]]:
    """Makes background profilers that are stopped after the test."""
    with ExitStack() as profilers:

        def make(bundle: Path = small_bundle_folder, state: Path = tmp_path / "state") -> BackgroundProfiler:
            made = BackgroundProfiler(bundle, state, PROFILE, "onnxruntime", 1)
            profilers.callback(made.stop)
            return made

        yield make


@pytest.fixture
def free_port() -> int:
    """A TCP port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
