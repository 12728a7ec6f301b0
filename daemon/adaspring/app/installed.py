"""What is configured and installed: opened for a start, or only tried before a reload."""

from __future__ import annotations

import logging
from pathlib import Path
from time import time

from adaspring.app.config import Config, EngineConfig, state_folder
from adaspring.app.learning import Learner
from adaspring.app.locate import bundle_folder, bundle_store, corrected_tables, find_board, find_tables
from adaspring.app.messages import Message, told
from adaspring.app.network import tcp_keys
from adaspring.app.trial import begin_trial, roll_back
from adaspring.boards import DeviceProfile
from adaspring.bundle import Bundle, Store, load_bundle
from adaspring.decide import Planner
from adaspring.engine import make_engine
from adaspring.errors import BundleError
from adaspring.tables import DeviceTables

_log = logging.getLogger(__name__)

#: Share of a board's memory that prepared subnets kept may take: on one of 512 MiB a dozen of them.
CACHE_SHARE = 1 / 64


def open_bundle(config: Config, state: Path) -> tuple[Path, Bundle, Store | None]:
    """The bundle to serve; one on trial that cannot be loaded is rolled back first.

    Args:
        config: Names the bundle.
        state: State folder, where bundles are installed.

    Returns:
        Its folder, itself, and its store where it is on trial.

    Raises:
        BundleError: If the bundle must not be loaded.
        StoreError: If what is installed cannot be read.
    """
    store = bundle_store(config.bundle, state)
    pointer = begin_trial(store, config.bundles.trial) if store is not None else None
    path = bundle_folder(config.bundle, state)
    if store is None or pointer is None or pointer.trial is None:
        return path, load_bundle(path), None
    try:
        bundle = load_bundle(path)
    except BundleError as error:
        roll_back(store, str(error))
        return open_bundle(config, state)
    name = pointer.current
    _log.info("serving bundle %s on trial", name, extra=told(Message.BUNDLE_ON_TRIAL, bundle=name))
    return path, bundle, store


def planner_of(bundle: Bundle, tables: DeviceTables, config: Config, learner: Learner) -> Planner:
    """Decides for a bundle from tables, with what was learned about them.

    Raises:
        ConfigError: If no subnet of the bundle can meet the policy.
    """
    return Planner(
        bundle.space,
        bundle.accuracy.percent,
        tables,
        config.policy,
        atlas=tables.atlas,
        correction=learner.latency,
        energy_correction=learner.energy,
    )


def cache_limit_mib(config: EngineConfig, board: DeviceProfile) -> float:
    """Memory that prepared subnets kept may take, in MiB: as configured, and a small share of the board's at most."""
    return min(config.cache_mib, board.memory.size_mib.value * CACHE_SHARE)


def check_startable(config: Config) -> None:
    """See that a daemon could start with a configuration and what is installed now.

    Raises:
        AdaSpringError: If it could not; the message says what to mend.
    """
    tcp_keys(config.serve)
    state = state_folder(config)
    bundle = load_bundle(bundle_folder(config.bundle, state))
    board = find_board(config.device.profile, Path(config.monitor.sysroot))
    engine = make_engine(config.engine.name, bundle, threads=config.engine.threads, preferred=board.engine)
    tables = find_tables(bundle, board, engine, state)
    Planner(bundle.space, bundle.accuracy.percent, corrected_tables(tables, bundle, state, wall=time), config.policy)
