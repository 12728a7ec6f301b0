"""Keys by name: what the service manager hands over to the unit as credentials, else files.

With ``LoadCredential=`` systemd reads a file that root alone may read, and gives the unit a copy of its own in memory
(systemd.exec(5)). So a key need not lie where the daemon's user can read it.
"""

from __future__ import annotations

import os
from pathlib import Path

#: Where a system's service manager keeps the credentials of our unit; root's commands find there what the unit got.
UNIT_CREDENTIALS = Path("/run/credentials/adaspringd.service")


def key_file(name: str) -> Path:
    """A file of keys.

    Args:
        name: A path; without a slash, the name of a credential where there is one.
    """
    path = Path(name) if "/" in name else _folder() / name
    return path if path.exists() else Path(name)


def key_files(name: str) -> list[Path]:
    """The ``.key`` files of a folder, sorted.

    Args:
        name: A path; without a slash, the name under which the unit loads such a folder: each file of it is then a
            credential, ``NAME_FILE``.
    """
    if "/" not in name and (found := sorted(_folder().glob(f"{name}_*.key"))):
        return found
    return sorted(Path(name).glob("*.key"))


def is_credential(path: Path) -> bool:
    """Whether the service manager sees to it that nobody but us reads a file.

    Its mode does not tell: systemd may let us in by an access list, which shows as the mode of a group.
    """
    return path.parent == _folder()


def _folder() -> Path:
    return Path(os.environ.get("CREDENTIALS_DIRECTORY") or UNIT_CREDENTIALS)
