"""What is configured and installed: opened for a start, or only tried before a reload."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from time import time

from adaspring.app.config import Config, EngineConfig, state_folder
from adaspring.app.learning import Learner
from adaspring.app.locate import bundle_folder, bundle_store, corrected_tables, find_board, find_tables
from adaspring.app.messages import Message, told
from adaspring.app.network import http_face, tcp_keys
from adaspring.app.trial import TrialConfig, begin_trial, roll_back
from adaspring.boards import DeviceProfile
from adaspring.bundle import Bundle, Store, load_bundle
from adaspring.decide import Planner, Policy
from adaspring.engine import make_engine
from adaspring.errors import BundleError, ConfigError
from adaspring.tables import DeviceTables

_log = logging.getLogger(__name__)

#: Share of a board's memory that prepared subnets kept may take: on one of 512 MiB a dozen of them.
CACHE_SHARE = 1 / 64


def open_bundle(name: str, trial: TrialConfig, state: Path) -> tuple[Path, Bundle, Store | None]:
    """A bundle to serve; one on trial that cannot be loaded is rolled back first.

    Args:
        name: As configured.
        trial: What is asked of one that is newly installed.
        state: State folder, where bundles are installed.

    Returns:
        Its folder, itself, and its store where it is on trial.

    Raises:
        BundleError: If the bundle must not be loaded.
        StoreError: If what is installed cannot be read.
    """
    store = bundle_store(name, state)
    pointer = begin_trial(store, trial) if store is not None else None
    path = bundle_folder(name, state)
    if store is None or pointer is None or pointer.trial is None:
        return path, load_bundle(path), None
    try:
        bundle = load_bundle(path)
    except BundleError as error:
        roll_back(store, str(error))
        return open_bundle(name, trial, state)
    version = pointer.current
    _log.info("serving bundle %s on trial", version, extra=told(Message.BUNDLE_ON_TRIAL, bundle=version))
    return path, bundle, store


def planner_of(bundle: Bundle, tables: DeviceTables, policy: Policy, learner: Learner) -> Planner:
    """Decides for a bundle from tables, with what was learned about them.

    Raises:
        ConfigError: If no subnet of the bundle can meet the policy.
    """
    return Planner(
        bundle.space,
        bundle.accuracy.percent,
        tables,
        policy,
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
    http_face(config.serve)
    state = state_folder(config)
    board = find_board(config.device.profile, Path(config.monitor.sysroot))
    names = []
    for model in config.served:
        bundle = load_bundle(bundle_folder(model.bundle, state))
        names.append(bundle.manifest.name)
        engine = make_engine(config.engine.name, bundle, threads=config.engine.threads, preferred=board.engine)
        tables = corrected_tables(find_tables(bundle, board, engine, state), bundle, state, wall=time)
        Planner(bundle.space, bundle.accuracy.percent, tables, model.policy(config.policy))
    check_names(names)


def check_names(names: Sequence[str]) -> None:
    """Refuse two models of one name: no client could tell which it means.

    Raises:
        ConfigError: With the name.
    """
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise ConfigError(f"several bundles are of the model {doubled[0]!r}: serve one of them")
