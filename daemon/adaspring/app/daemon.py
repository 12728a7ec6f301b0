"""The process: parts put together, started in order, stopped in order."""

from __future__ import annotations

import gc
import logging
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic
from types import FrameType

import zmq

from adaspring.app.activation import listening_socket
from adaspring.app.announce import Announcer
from adaspring.app.config import Config, runtime_folder
from adaspring.app.control import ControlLoop
from adaspring.app.counters import AllFrames
from adaspring.app.installed import check_startable
from adaspring.app.locate import find_board
from adaspring.app.messages import Message, told
from adaspring.app.metrics import MetricsExporter
from adaspring.app.models import Start, open_models, serve_models
from adaspring.app.network import open_http, open_tcp
from adaspring.app.notify import Notifier
from adaspring.app.observe import AllObserver
from adaspring.app.signature import limits_of
from adaspring.context import Monitor
from adaspring.serve.control import ControlServer
from adaspring.serve.endpoint import CONTROL_MODE, Claim, claim
from adaspring.serve.events import EventPublisher
from adaspring.serve.server import DataPlane

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
            bundles = " ".join(model.bundle for model in config.served)
            _log.info("serving on %s", endpoint, extra=told(Message.SERVING, endpoint=endpoint, bundle=bundles))
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
    sysroot = Path(config.monitor.sysroot)
    board = find_board(config.device.profile, sysroot)
    opened = open_models(config, board, stack)
    frames = [model.counters for model in opened]
    monitor = Monitor(sysroot, frames[0] if len(frames) == 1 else AllFrames(frames))
    boot_id = _boot_id(sysroot)
    sensed = monitor.tick()
    models = serve_models(opened, Start(config, board, sensed, boot_id, stack))
    observers: list[AllObserver] = []
    if config.metrics.textfile or config.metrics.http_port:
        observers.append(MetricsExporter(config.metrics))
    for observer in observers:
        stack.callback(observer.close)
    lanes = [served.lane for served in models]
    signatures = [lane.model for lane in lanes]
    limits = limits_of(*signatures)
    curve = open_tcp(config.serve, context, stack)
    data = DataPlane(context, claims["infer"], lanes, curve=curve, limits=limits, queue_size=config.serve.queue_size)
    stack.callback(data.close)
    for served in models:
        served.counters.attach(data, served.lane)

    events = EventPublisher(context, claims["events"])
    stack.callback(events.close)
    control = ControlServer(context, claims["control"])
    stack.callback(control.close)
    data.bind()
    refused = open_http(config.serve, context, signatures, limits, stack)
    if refused is not None:
        data.count_too(refused)
    loop = ControlLoop(
        models=models,
        device=board.name,
        engine=opened[0].engine.name,
        interval_s=config.monitor.interval_s,
        spin_us=config.serve.spin_us,
        monitor=monitor,
        data=data,
        control=control,
        announcer=Announcer(events, notifier, data, sensed),
        seed=config.seed,
        check=lambda: check_startable(reread()),
        observers=observers,
        boot_id=boot_id,
    )
    return loop, data


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
