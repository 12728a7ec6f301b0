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
from time import monotonic, time
from types import FrameType

import zmq

from adaspring.app.activation import listening_socket
from adaspring.app.announce import Announcer
from adaspring.app.background import BackgroundProfiler
from adaspring.app.config import Config, runtime_folder, state_folder
from adaspring.app.control import ControlLoop
from adaspring.app.counters import FrameCounters
from adaspring.app.decisions import DecisionLog
from adaspring.app.evolution import Evolver
from adaspring.app.installed import cache_limit_mib, check_startable, open_bundle, planner_of
from adaspring.app.last import LastDecisionKeeper, read_last
from adaspring.app.learning import Learner, learned_path
from adaspring.app.locate import corrected_tables, find_board, find_tables
from adaspring.app.messages import Message, told
from adaspring.app.metrics import MetricsExporter
from adaspring.app.network import open_http, open_tcp
from adaspring.app.notify import Notifier
from adaspring.app.observe import Observer
from adaspring.app.signature import limits_of, pipeline_of, signature
from adaspring.app.trial import Trial
from adaspring.app.upkeep import TableKeeper
from adaspring.context import Monitor
from adaspring.decide import Planner, Trigger
from adaspring.engine import SubnetCache, make_engine
from adaspring.profile import tables_path
from adaspring.serve.control import ControlServer
from adaspring.serve.endpoint import CONTROL_MODE, Claim, claim
from adaspring.serve.events import EventPublisher
from adaspring.serve.lane import Lane
from adaspring.serve.server import DataPlane
from adaspring.tables import DeviceTables

_log = logging.getLogger(__name__)

#: The threads share the interpreter's lock; a frame that wants it waits at most this
#: long for the control thread to hand it over (the default is 5 ms).
SWITCH_INTERVAL_S = 3e-5


def run_daemon(config: Config, environment: Mapping[str, str], *, reread: Callable[[], Config] | None = None) -> bool:
    """Serve until SIGTERM or SIGINT, or until a reload.

    Args:
        config: Validated configuration.
        environment: Of the process; names the notification socket of the service manager.
        reread: Reads the configuration again for a reload; None where it has no source.

    Returns:
        Whether the process should begin again with what is configured and installed now.

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
        claims = _claim(config, environment, stack)
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        stack.callback(context.term)
        loop, data = _build(config, claims, context, notifier, stack, reread=reread or (lambda: config))
        # What lives from here on lives as long as the process: the collector need not look at it.
        gc.collect()
        gc.freeze()
        with _signals(loop), _serving(data, loop.stop):
            notifier.ready()
            endpoint = claims["infer"].endpoint
            _log.info("serving on %s", endpoint, extra=told(Message.SERVING, endpoint=endpoint, bundle=config.bundle))
            loop.run()
            if loop.again:
                notifier.reloading(monotonic())
            else:
                notifier.stopping()
                _log.info("stopping: answering what waits", extra=told(Message.STOPPING))
    return loop.again


def _claim(config: Config, environment: Mapping[str, str], stack: ExitStack) -> dict[str, Claim]:
    folder = runtime_folder(config).absolute()
    mode = int(config.serve.socket_mode, 8)
    modes = {"infer": mode, "events": mode, "control": CONTROL_MODE}
    handed = {"infer": listening_socket(environment, f"{folder}/infer.sock")}
    return {
        name: stack.enter_context(claim(f"ipc://{folder}/{name}.sock", mode=mode, listen_fd=handed.get(name)))
        for name, mode in modes.items()
    }


def _build(
    config: Config,
    claims: Mapping[str, Claim],
    context: zmq.Context[zmq.Socket[bytes]],
    notifier: Notifier,
    stack: ExitStack,
    *,
    reread: Callable[[], Config],
) -> tuple[ControlLoop, DataPlane]:
    state = state_folder(config)
    path, bundle, store = open_bundle(config, state)
    sysroot = Path(config.monitor.sysroot)
    board = find_board(config.device.profile, sysroot)
    engine = make_engine(config.engine.name, bundle, threads=config.engine.threads, preferred=board.engine)
    tables = find_tables(bundle, board, engine, state)
    target = tables_path(state, bundle.digest, board.name, engine.name)
    learner = Learner(learned_path(target), tables, keep=not tables.facts.estimate)
    stack.callback(learner.save)

    def replan() -> Planner:
        measured = find_tables(bundle, board, engine, state)
        learner.adopt(measured)
        cache.session_mib = measured.facts.session_mib or cache.session_mib
        return planner_of(bundle, corrected_tables(measured, bundle, state, wall=time), config, learner)

    planner = planner_of(bundle, corrected_tables(tables, bundle, state, wall=time), config, learner)

    counters = FrameCounters()
    monitor = Monitor(sysroot, counters)
    cache = SubnetCache(engine, cache_limit_mib(config.engine, board), tables.facts.session_mib)
    last = read_last(state)
    boot_id = _boot_id(sysroot)
    warm = last.subnet if last is not None and last.bundle == bundle.digest else None
    sensed = monitor.tick()
    evolver, first = Evolver.begin(
        bundle.space, planner, cache, sensed, seed=config.seed, wall=_utc, last=warm, boot_id=boot_id
    )
    decisions = DecisionLog(state / "decisions" / bundle.manifest.name)
    observers: list[Observer] = [LastDecisionKeeper(state, bundle.digest, boot_id, _utc), decisions]
    if store is not None:
        before_p95_us = last.latency_p95_us if last is not None and last.bundle != bundle.digest else None
        observers.append(Trial(store, config.bundles.trial, before_p95_us))
    if config.metrics.textfile or config.metrics.http_port:
        observers.append(MetricsExporter(config.metrics))
    for observer in observers:
        stack.callback(observer.close)
    pipeline = pipeline_of(bundle)
    model = signature(bundle, pipeline)
    curve = open_tcp(config.serve, context, stack)
    lane = Lane(model, evolver.active, pipeline)
    lane.batch_by(dict(tables.facts.batch_curve))
    data = DataPlane(
        context,
        claims["infer"],
        [lane],
        curve=curve,
        limits=limits_of(model),
        queue_size=config.serve.queue_size,
    )
    stack.callback(data.close)
    counters.attach(data, lane)

    events = EventPublisher(context, claims["events"])
    stack.callback(events.close)
    control = ControlServer(context, claims["control"])
    stack.callback(control.close)
    data.bind()
    open_http(config.serve, context, limits_of(model), stack)
    background = _profiler(config, path, board.name, tables, stack)
    loop = ControlLoop(
        bundle=bundle,
        device=board.name,
        engine=engine.name,
        interval_s=config.monitor.interval_s,
        spin_us=config.serve.spin_us,
        monitor=monitor,
        counters=counters,
        trigger=Trigger(config.policy),
        evolver=evolver,
        data=data,
        lane=lane,
        control=control,
        keeper=TableKeeper(evolver, counters, learner, background, replan),
        announcer=Announcer(events, notifier, data, lane, sensed),
        first=first,
        decisions=decisions,
        check=lambda: check_startable(reread()),
        observers=observers,
        boot_id=boot_id,
    )
    return loop, data


def _profiler(config: Config, bundle: Path, board: str, tables: DeviceTables, stack: ExitStack) -> BackgroundProfiler:
    """What measures the bundle in the background; it has begun where that is needed, wanted and of use."""
    # The name of a profile that was given by its path does not lead back to it.
    device = board if config.device.profile == "auto" else config.device.profile
    profiler = BackgroundProfiler(bundle, state_folder(config), device, config.engine.name, config.engine.threads)
    stack.callback(profiler.stop)
    # In a tree that stands for another board, timings of this machine would get that board's name.
    measurable = config.device.profile != "auto" or Path(config.monitor.sysroot) == Path("/")
    if tables.facts.estimate and config.device.background_profiling and measurable:
        profiler.start()
        _log.warning(
            "no tables of this device: deciding from an estimate while profiling runs in the background",
            extra=told(Message.TABLES_ESTIMATED, device=device),
        )
    return profiler


def _boot_id(sysroot: Path) -> str:
    try:
        return (sysroot / "proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


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

    def reload(_signal: int, _frame: FrameType | None) -> None:
        loop.ask_reload()

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    before[signal.SIGHUP] = signal.signal(signal.SIGHUP, reload)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _utc() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
