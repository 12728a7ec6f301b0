"""The process: parts put together, started in order, stopped in order."""

from __future__ import annotations

import gc
import logging
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import datetime, timezone
from pathlib import Path
from types import FrameType

import zmq

from adaspring.app.background import BackgroundProfiler
from adaspring.app.config import Config, runtime_folder, state_folder
from adaspring.app.control import ControlLoop
from adaspring.app.counters import FrameCounters
from adaspring.app.evolution import Evolver
from adaspring.app.locate import bundle_folder, find_board, find_tables
from adaspring.app.notify import Notifier
from adaspring.bundle import Bundle, load_bundle
from adaspring.context import Monitor
from adaspring.decide import Planner, Trigger
from adaspring.engine import SubnetCache, make_engine
from adaspring.serve.control import ControlServer
from adaspring.serve.endpoint import CONTROL_MODE, Claim, claim
from adaspring.serve.events import EventPublisher
from adaspring.serve.protocol import ModelSignature
from adaspring.serve.server import DataPlane
from adaspring.tables import DeviceTables

_log = logging.getLogger(__name__)

#: The threads share the interpreter's lock; a frame that wants it waits at most this
#: long for the control thread to hand it over (the interpreter's default is 5 ms).
SWITCH_INTERVAL_S = 1e-4


def run_daemon(config: Config, environment: Mapping[str, str]) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        config: Validated configuration.
        environment: Of the process; names the notification socket of the service manager.

    Raises:
        AlreadyRunningError: If another daemon owns the sockets; it is left unharmed.
        ConfigError: If the configuration asks for something that cannot be.
        BundleError: If the bundle must not be loaded.
        BoardError: If the device profile cannot be used.
        EngineMissingError: If the engine is not installed.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    notifier = Notifier.from_environment(environment)
    with ExitStack() as stack:
        # Sockets are claimed before anything else, so that a second daemon gets no further.
        claims = _claim(config, stack)
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        stack.callback(context.term)
        loop, data = _build(config, claims, context, notifier, stack)
        # What lives from here on lives as long as the process: the collector need not look at it.
        gc.collect()
        gc.freeze()
        with _signals(loop), _serving(data, loop.stop):
            notifier.ready()
            _log.info("serving on %s", claims["infer"].endpoint)
            loop.run()
            notifier.stopping()
            _log.info("stopping: answering what waits")


def _claim(config: Config, stack: ExitStack) -> dict[str, Claim]:
    folder = runtime_folder(config).absolute()
    mode = int(config.serve.socket_mode, 8)
    modes = {"infer": mode, "events": mode, "control": CONTROL_MODE}
    return {name: stack.enter_context(claim(f"ipc://{folder}/{name}.sock", mode=mode)) for name, mode in modes.items()}


def _build(
    config: Config,
    claims: Mapping[str, Claim],
    context: zmq.Context[zmq.Socket[bytes]],
    notifier: Notifier,
    stack: ExitStack,
) -> tuple[ControlLoop, DataPlane]:
    path = bundle_folder(config.bundle)
    bundle = load_bundle(path)
    sysroot = Path(config.monitor.sysroot)
    board = find_board(config.device.profile, sysroot)
    engine = make_engine(config.engine.name, bundle, threads=config.engine.threads)
    state = state_folder(config)
    tables = find_tables(bundle, board, engine, state)
    planner = _planner(bundle, tables, config)

    counters = FrameCounters()
    monitor = Monitor(sysroot, counters)
    cache = SubnetCache(engine, config.engine.cache_subnets)
    evolver, first = Evolver.begin(bundle.space, planner, cache, monitor.tick(), seed=config.seed, wall=_utc)
    data = DataPlane(context, claims["infer"], evolver.active, _signature(bundle), queue_size=config.serve.queue_size)
    stack.callback(data.close)
    counters.attach(data, evolver.active)

    events = EventPublisher(context, claims["events"])
    stack.callback(events.close)
    control = ControlServer(context, claims["control"])
    stack.callback(control.close)
    data.bind()
    profiler = None
    if tables.facts.estimate and config.device.background_profiling:
        # The name of a profile that was given by its path does not lead back to it.
        device = board.name if config.device.profile == "auto" else config.device.profile
        profiler = BackgroundProfiler(path, state, device, config.engine.name, config.engine.threads)
        profiler.start()
        stack.callback(profiler.stop)
        _log.warning("no tables of this device: deciding from an estimate while profiling runs in the background")
    loop = ControlLoop(
        bundle=bundle,
        device=board.name,
        engine=engine.name,
        interval_s=config.monitor.interval_s,
        monitor=monitor,
        counters=counters,
        trigger=Trigger(config.policy),
        evolver=evolver,
        data=data,
        events=events,
        control=control,
        notifier=notifier,
        profiler=profiler,
        replan=lambda: _planner(bundle, find_tables(bundle, board, engine, state), config),
        first=first,
    )
    return loop, data


def _planner(bundle: Bundle, tables: DeviceTables, config: Config) -> Planner:
    return Planner(bundle.space, bundle.accuracy.percent, tables, config.policy)


def _signature(bundle: Bundle) -> ModelSignature:
    manifest = bundle.manifest
    return ModelSignature(
        name=manifest.name,
        version=manifest.version,
        input_name=manifest.input.name,
        input_shape=manifest.input.shape,
        output_name=manifest.output.name,
        outputs=len(manifest.output.labels),
        labels=manifest.output.labels,
    )


@contextmanager
def _serving(data: DataPlane, ended: Callable[[], None]) -> Iterator[None]:
    """Run the data thread; at the end it answers what waits and is joined.

    Should it fail, ``ended`` is called at once, and what it failed of is raised at the end: a
    daemon that serves nothing must end, so that the service manager starts another.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="data") as executor:
        serving = executor.submit(data.run)
        serving.add_done_callback(lambda _: ended())
        try:
            yield
        finally:
            data.stop()
            serving.result()


@contextmanager
def _signals(loop: ControlLoop) -> Iterator[None]:
    def stop(_signal: int, _frame: FrameType | None) -> None:
        loop.stop()

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _utc() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
