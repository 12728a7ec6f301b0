"""Which files a board shows: trees that were looked up in kernels, manuals and issues, one TOML file each.

The files name their sources. Texts hold the values of a state in braces, as `str.format` takes them
(see `adaspring.simulate.values`); everything else stays as it is.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from adaspring.errors import ConfigError
from adaspring.toml_file import nearest, read_toml

#: The tree of no board in particular.
SIMULATED = "simulated"
_FOLDER = Path(__file__).resolve().parent / "boards"


class BoardTree(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The sensor files of one board with one kernel.

    Attributes:
        board: Name of the device profile that fits it; empty for none in particular.
        title: For people.
        kernel: Release of the kernel that shows these files.
        machine: Machine name, as ``uname -m`` gives it; empty for that of this device.
        files: Text of each file by its path on the device.
    """

    board: str
    title: str
    kernel: str
    machine: str
    files: dict[str, str]


def board_trees() -> tuple[str, ...]:
    """Names of the boards that can be emulated."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.toml") if path.stem != SIMULATED))


def load_board_tree(name: str) -> BoardTree:
    """Read a tree that ships with AdaSpring.

    Raises:
        ConfigError: If there is none of that name; the message names the nearest.
    """
    known = board_trees()
    if name not in (*known, SIMULATED):
        raise ConfigError(f"there is no board {name!r} to emulate: {nearest(name, known)}")
    return msgspec.convert(read_toml(_FOLDER / f"{name}.toml", ConfigError), BoardTree)
