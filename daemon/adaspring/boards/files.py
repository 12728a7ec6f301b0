"""Device profiles on disk: one TOML file per board."""

from __future__ import annotations

import difflib
import os
import sys
from pathlib import Path

import msgspec

from adaspring.boards.profile import DeviceProfile
from adaspring.errors import BoardError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


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
        close = difflib.get_close_matches(text, known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(known) or 'none'}"
        raise BoardError(f"there is no device profile {text!r} in {folder}: {hint}")
    return _read(path)


def load_profiles(folder: Path) -> tuple[DeviceProfile, ...]:
    """Every profile of a folder, by name.

    Raises:
        BoardError: If one has a mistake.
    """
    return tuple(_read(path) for path in sorted(folder.glob("*.toml")))


def _read(path: Path) -> DeviceProfile:
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        profile = msgspec.convert(data, DeviceProfile)
    except FileNotFoundError:
        raise BoardError(f"{path}: there is no such device profile") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BoardError(f"{path}: cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise BoardError(f"{path}: this is not TOML: {error}") from error
    except msgspec.ValidationError as error:
        raise BoardError(f"{path}: {error}") from error
    if profile.name != path.stem:
        raise BoardError(f"{path}: name must be {path.stem!r}, as the file; it is {profile.name!r}")
    return profile
