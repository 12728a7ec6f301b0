"""Reading TOML files: what is wrong is told with the file, and what was probably meant."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def read_toml(path: Path, error: type[Exception]) -> dict[str, Any]:
    """What a file holds.

    Args:
        path: The file.
        error: What to raise where it cannot be read or is no TOML; the message names the file.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise error(f"{path}: there is no such file") from None
    except OSError as cause:
        raise error(f"{path}: cannot be read: {cause.strerror}") from cause
    except UnicodeDecodeError as cause:
        raise error(f"{path}: cannot be read: {cause}") from cause
    except tomllib.TOMLDecodeError as cause:
        raise error(f"{path}: this is not TOML: {cause}") from cause


def nearest(wrong: str, known: Iterable[str], prefix: str = "") -> str:
    """What a name that does not exist was probably meant to be, as the end of a message.

    Args:
        wrong: The name.
        known: The names that exist.
        prefix: What stands before each of them, for a person.
    """
    known = list(known)
    close = difflib.get_close_matches(wrong, known, n=1)
    return f"did you mean {prefix}{close[0]}?" if close else f"known are {', '.join(known) or 'none'}"
