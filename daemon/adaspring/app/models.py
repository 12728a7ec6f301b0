"""The models that are served: opened, decided for, and put together."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from time import time

from adaspring.app.background import BackgroundProfiler
from adaspring.app.config import Config, state_folder
from adaspring.app.counters import FrameCounters
from adaspring.app.decisions import DecisionLog
from adaspring.app.evolution import Evolver
from adaspring.app.installed import cache_limit_mib, check_names, open_bundle, planner_of
from adaspring.app.last import NAME, LastDecision, LastDecisionKeeper, read_last
from adaspring.app.learning import Learner, learned_path
from adaspring.app.locate import corrected_tables, find_tables
from adaspring.app.messages import Message, told
from adaspring.app.model_config import ModelConfig
from adaspring.app.observe import Observer
from adaspring.app.served import Served
from adaspring.app.signature import pipeline_of, signature
from adaspring.app.trial import Trial
from adaspring.app.upkeep import TableKeeper
from adaspring.boards import DeviceProfile
from adaspring.bundle import Bundle, Store
from adaspring.context.model import Context
from adaspring.decide import Choice, Member, Planner, Policy, Together, Trigger, choose_together
from adaspring.engine import Beside, Engine, SubnetCache, YieldingThread, make_engine
from adaspring.errors import GenomeError
from adaspring.profile import tables_path
from adaspring.serve.lane import Lane
from adaspring.space import Genome
from adaspring.tables import DeviceTables

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OpenModel:
    """A model before anything was decided for it.

    Attributes:
        config: As configured.
        policy: What is asked of it.
        path: Folder of the bundle.
        bundle: The bundle.
        store: Where it is on trial; None elsewhere.
        engine: Runs its subnets.
        beside: Runs what gives way to frames.
        tables: As measured, or an estimate.
        learner: What is learned about them.
        planner: Decides for it.
        cache: Its prepared subnets.
        counters: Its frames.
        last: What served last; None where nothing is known.
        last_name: Where that is kept.
    """

    config: ModelConfig
    policy: Policy
    path: Path
    bundle: Bundle
    store: Store | None
    engine: Engine
    beside: Beside
    tables: DeviceTables
    learner: Learner
    planner: Planner
    cache: SubnetCache
    counters: FrameCounters
    last: LastDecision | None
    last_name: str

    @property
    def warm(self) -> Genome | None:
        """The subnet that this bundle served last, where that is known."""
        if self.last is not None and self.last.bundle == self.bundle.digest:
            # A record of another release may name what this one does not know.
            with suppress(GenomeError):
                return self.bundle.space.parse(self.last.subnet)
        return None


@dataclass(frozen=True, slots=True)
class Start:
    """What models begin with.

    Attributes:
        config: Of the daemon.
        board: What they run on.
        sensed: The first context.
        boot_id: Of the kernel.
        stack: Closes what must be closed when the daemon ends.
    """

    config: Config
    board: DeviceProfile
    sensed: Context
    boot_id: str
    stack: ExitStack


def open_models(config: Config, board: DeviceProfile, stack: ExitStack) -> list[OpenModel]:
    """Open what is configured, the highest priority first.

    Args:
        config: Names the models.
        board: What they run on.
        stack: Keeps what was learned when the daemon ends, and ends what was begun.

    Raises:
        AdaSpringError: If one cannot be served; the message says what to mend.
    """
    beside = YieldingThread()
    stack.callback(beside.close)
    models = [_open(model, config, board, beside, stack) for model in config.served]
    check_names([model.bundle.manifest.name for model in models])
    return models


def _open(model: ModelConfig, config: Config, board: DeviceProfile, beside: Beside, stack: ExitStack) -> OpenModel:
    state, policy = state_folder(config), model.policy(config.policy)
    path, bundle, store = open_bundle(model.bundle, config.bundles.trial, state)
    name, threads = config.engine.name, config.engine.threads
    engine = make_engine(name, bundle, threads=threads, preferred=board.engine, beside=beside)
    tables = find_tables(bundle, board, engine, state)
    target = tables_path(state, bundle.digest, board.name, engine.name)
    learner = Learner(learned_path(target), tables, keep=not tables.facts.estimate)
    stack.callback(learner.save)
    limit_mib = cache_limit_mib(config.engine, board) / len(config.served)
    last_name = NAME if len(config.served) == 1 else f"last-{bundle.manifest.name}.json"
    return OpenModel(
        config=model,
        policy=policy,
        path=path,
        bundle=bundle,
        store=store,
        engine=engine,
        beside=beside,
        tables=tables,
        learner=learner,
        planner=planner_of(bundle, corrected_tables(tables, bundle, state, wall=time), policy, learner),
        cache=SubnetCache(engine, limit_mib, tables.facts.session_mib),
        counters=FrameCounters(),
        last=read_last(state, last_name),
        last_name=last_name,
    )


def serve_models(models: Sequence[OpenModel], start: Start) -> list[Served]:
    """Choose and prepare the first subnet of each model, and put together what serves it.

    Args:
        models: As opened.
        start: What they begin with.

    Raises:
        EngineError: If a subnet cannot be prepared: there is nothing to serve with.
    """
    chosen: list[tuple[Choice, Together] | None] = [None] * len(models)
    if len(models) > 1:
        members = [
            Member(model.bundle.manifest.name, model.config.priority, model.planner, start.sensed, model.warm)
            for model in models
        ]
        choices, together = choose_together(members, start.sensed, seed=start.config.seed)
        chosen = [(choice, together) for choice in choices if choice is not None]
    served: list[Served] = []
    for model, choice in zip(models, chosen, strict=True):
        measuring = any(other.keeper.rebuilding for other in served)
        served.append(_serve(model, choice, start, measuring=measuring))
    return served


def _serve(model: OpenModel, chosen: tuple[Choice, Together] | None, start: Start, *, measuring: bool) -> Served:
    config, state = start.config, state_folder(start.config)
    bundle, name = model.bundle, model.bundle.manifest.name
    evolver, first = Evolver.begin(
        bundle.space,
        model.planner,
        model.cache,
        start.sensed,
        seed=config.seed,
        wall=utc,
        last=model.warm,
        chosen=chosen,
        boot_id=start.boot_id,
        model=name,
        beside=model.beside,
    )
    decisions = DecisionLog(state / "decisions" / name)
    keeper = LastDecisionKeeper(state, bundle.digest, start.boot_id, utc, name=model.last_name)
    observers: list[Observer] = [keeper, decisions]
    if model.store is not None:
        last = model.last
        before_p95_us = last.latency_p95_us if last is not None and last.bundle != bundle.digest else None
        observers.append(Trial(model.store, config.bundles.trial, before_p95_us))
    for observer in observers:
        start.stack.callback(observer.close)
    pipeline = pipeline_of(bundle)
    lane = Lane(signature(bundle, pipeline), evolver.active, pipeline)
    lane.batch_by(dict(model.tables.facts.batch_curve))
    wanted = _measurable(config) and config.device.background_profiling
    background = _profiler(model, start)
    if model.tables.facts.estimate and wanted:
        _log.warning(
            "no tables of %s on this device: deciding from an estimate while profiling runs in the background",
            name,
            extra=told(Message.TABLES_ESTIMATED, model=name, device=start.board.name),
        )
        if not measuring:
            background.start()
    return Served(
        bundle=bundle,
        lane=lane,
        evolver=evolver,
        counters=model.counters,
        trigger=Trigger(model.policy),
        keeper=TableKeeper(
            evolver, model.counters, model.learner, background, _replan(model, start.board, state), measure=wanted
        ),
        first=first,
        priority=model.config.priority,
        decisions=decisions,
        observers=observers,
    )


def _replan(model: OpenModel, board: DeviceProfile, state: Path) -> Callable[[], Planner]:
    """Makes a planner from the tables on disk."""

    def replan() -> Planner:
        measured = find_tables(model.bundle, board, model.engine, state)
        model.learner.adopt(measured)
        model.cache.session_mib = measured.facts.session_mib or model.cache.session_mib
        tables = corrected_tables(measured, model.bundle, state, wall=time)
        return planner_of(model.bundle, tables, model.policy, model.learner)

    return replan


def _measurable(config: Config) -> bool:
    """Whether timings of this machine may be called the board's: not in a tree that stands for another board."""
    return config.device.profile != "auto" or Path(config.monitor.sysroot) == Path("/")


def _profiler(model: OpenModel, start: Start) -> BackgroundProfiler:
    """What measures a bundle in the background."""
    config = start.config
    # The name of a profile that was given by its path does not lead back to it.
    device = start.board.name if config.device.profile == "auto" else config.device.profile
    engine = config.engine
    profiler = BackgroundProfiler(model.path, state_folder(config), device, engine.name, engine.threads)
    start.stack.callback(profiler.stop)
    return profiler


def utc() -> str:
    """The wall clock, for records."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
