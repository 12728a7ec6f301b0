"""Finding what configuration names: the bundle, the device profile, its tables."""

from __future__ import annotations

import logging
import platform
from pathlib import Path

from adaspring.boards import DeviceProfile, detect, load_profile
from adaspring.bundle import Bundle
from adaspring.engine import Engine
from adaspring.errors import BundleMissingError, TableError
from adaspring.profile import estimate_tables, load_tables, tables_path
from adaspring.resources import resource
from adaspring.tables import DeviceTables

_log = logging.getLogger(__name__)


def bundle_folder(name: str) -> Path:
    """The folder of a bundle: a path, or the name of one that ships with AdaSpring; a folder here wins.

    Raises:
        BundleMissingError: If the name is neither; a path is returned, and loading it says what is missing.
    """
    path = Path(name)
    if path.is_dir() or "/" in name:
        return path.absolute()
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
