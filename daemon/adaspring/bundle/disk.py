"""Steps that reach the disk before the next one begins."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


class Disk:
    """Writes below a folder; each method is one step after which the power may fail.

    What root writes belongs to the owner of the top folder: an operator installs, the
    daemon commits.
    """

    def __init__(self, top: Path) -> None:
        """Write below a folder, whose owner owns what is written."""
        self.top = top

    def make_folder(self, path: Path) -> None:
        """Make a folder, and those above it, if they are not there."""
        for folder in [*reversed(path.parents), path]:
            if not folder.exists():
                folder.mkdir(mode=0o750, exist_ok=True)
                self._give(folder)

    def write(self, path: Path, content: bytes) -> None:
        """Write a file; it is on the disk when this returns, its name not yet (see `sync_folder`)."""
        with path.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        path.chmod(0o640)
        self._give(path)

    def replace(self, source: Path, target: Path) -> None:
        """Give a file or folder another name at once; a file of that name is gone."""
        source.replace(target)

    def sync_folder(self, path: Path) -> None:
        """Have the names in a folder reach the disk."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def remove(self, path: Path) -> None:
        """Remove a folder with all that is in it."""
        shutil.rmtree(path)

    def _give(self, path: Path) -> None:
        if os.geteuid() == 0:
            owner = self.top.stat()
            os.chown(path, owner.st_uid, owner.st_gid)
