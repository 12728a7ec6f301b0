"""Finding what configuration names: the bundle, the device profile, its tables."""

from __future__ import annotations

import logging
import platform
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from adaspring.boards import DeviceProfile, detect, load_profile
from adaspring.bundle import Bundle, Store
from adaspring.engine import Engine
from adaspring.errors import BundleMissingError, TableError
from adaspring.profile import corrected_path, estimate_tables, load_tables, tables_path
from adaspring.resources import resource
from adaspring.tables import EXPIRES_S, DeviceTables

_log = logging.getLogger(__name__)


def bundle_store(name: str, state: Path) -> Store | None:
    """The store of a bundle's name; None where a path is meant."""
    return None if "/" in name or Path(name).is_dir() else Store(state / "bundles" / name)


def bundle_folder(name: str, state: Path | None = None) -> Path:
    """The folder of a bundle: a path, or the name of one that is installed or ships; a folder here wins.

    Args:
        name: As configured.
        state: State folder, where bundles are installed; None to leave those out.

    Raises:
        BundleMissingError: If the name is neither; a path is returned, and loading it says what is missing.
    """
    path = Path(name)
    if path.is_dir() or "/" in name:
        return path.absolute()
    store = None if state is None else bundle_store(name, state)
    pointer = None if store is None else store.pointer()
    if store is not None and pointer is not None:
        return store.path(pointer.current)
    shipped = {folder.parent.name: folder for folder in resource("models").glob("*/bundle")}
    if name not in shipped:
        known = ", ".join(sorted(shipped)) or "none"
        raise BundleMissingError(
            f"there is no bundle {name!r}: there is no folder {path.absolute()}, and those that ship are {known}"
        )
    return shipped[name]


def find_board(name: str, sysroot: Path) -> DeviceProfile:
    """The device profile of a name, a path, or the board that the sysroot shows.

    Raises:
        BoardError: If there is no such profile, or it cannot be used.
    """
    folder = resource("device_profiles")
    if name == "auto":
        return detect(sysroot, platform.machine(), folder=folder)
    return load_profile(name, folder=folder)


def find_tables(bundle: Bundle, board: DeviceProfile, engine: Engine, state: Path) -> DeviceTables:
    """Measured tables from the state folder, or an estimate where there are none that can be used."""
    try:
        return load_tables(tables_path(state, bundle.digest, board.name, engine.name), bundle.space)
    except FileNotFoundError:
        pass
    except TableError as error:
        # Damaged tables must not keep a device in the field from serving.
        _log.error("%s", error)
    return estimate_tables(bundle, engine.name, board)


def corrected_tables(tables: DeviceTables, bundle: Bundle, state: Path, *, wall: Callable[[], float]) -> DeviceTables:
    """The same tables with entries corrected from served frames, where such lie beside them and have not expired.

    Args:
        tables: As `find_tables` gives them.
        bundle: Their bundle.
        state: The state folder.
        wall: Seconds since 1970.
    """
    facts = tables.facts
    path = corrected_path(tables_path(state, bundle.digest, facts.device, facts.engine))
    try:
        corrected = load_tables(path, bundle.space)
    except FileNotFoundError:
        return tables
    except TableError as error:
        _log.error("%s", error)
        return tables
    if corrected.facts.created != facts.created or not corrected.facts.corrected:
        return tables
    age_s = wall() - datetime.fromisoformat(corrected.facts.corrected).timestamp()
    return corrected if abs(age_s) < EXPIRES_S else tables
