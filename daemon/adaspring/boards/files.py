"""Device profiles on disk: one TOML file per board."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from adaspring.boards.profile import DeviceProfile
from adaspring.errors import BoardError
from adaspring.toml_file import nearest, read_toml


def load_profile(name_or_path: str | Path, *, folder: Path) -> DeviceProfile:
    """Read and validate one profile.

    Args:
        name_or_path: Name of a profile in ``folder``, or the path of a file; what holds a
            separator or ends in ``.toml`` is a path.
        folder: Where the profiles that ship with AdaSpring lie.

    Raises:
        BoardError: If there is none of that name, or the file has a mistake; the message
            names file and key.
    """
    text = os.fspath(name_or_path)
    if text.endswith(".toml") or os.sep in text:
        return _read(Path(text))
    path = folder / f"{text}.toml"
    if not path.is_file():
        known = sorted(entry.stem for entry in folder.glob("*.toml"))
        raise BoardError(f"there is no device profile {text!r} in {folder}: {nearest(text, known)}")
    return _read(path)


def load_profiles(folder: Path) -> tuple[DeviceProfile, ...]:
    """Every profile of a folder, by name.

    Raises:
        BoardError: If one has a mistake.
    """
    return tuple(_read(path) for path in sorted(folder.glob("*.toml")))


def _read(path: Path) -> DeviceProfile:
    data = read_toml(path, BoardError)
    try:
        profile = msgspec.convert(data, DeviceProfile)
    except msgspec.ValidationError as error:
        raise BoardError(f"{path}: {error}") from error
    if profile.name != path.stem:
        raise BoardError(f"{path}: name must be {path.stem!r}, as the file; it is {profile.name!r}")
    return profile
