"""Bundles on their way to a device: one tar archive instead of a folder."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from adaspring.errors import BundleCorruptError, BundleMissingError

#: What an archive may hold unpacked, in bytes: beyond it nothing is a bundle, and a board's memory ends.
MOST_BYTES = 256 << 20


@contextmanager
def unpacked(source: Path) -> Iterator[Path]:
    """A bundle's folder: the one that is given, or that of an archive, which is removed at the end.

    Nothing of an archive is trusted: only plain files are taken, and of their paths only the name.

    Args:
        source: Folder, or tar archive (compressed or not) of the files of one bundle, in a folder or not.

    Raises:
        BundleMissingError: If there is neither.
        BundleCorruptError: If it is no such archive, or holds too much.
    """
    if source.is_dir():
        yield source
        return
    with tempfile.TemporaryDirectory(prefix="adaspring-bundle-") as folder:
        try:
            with tarfile.open(source) as archive:
                _extract(archive, Path(folder), source)
        except FileNotFoundError:
            raise BundleMissingError(f"{source}: there is neither a folder nor an archive") from None
        except (OSError, EOFError, tarfile.TarError) as error:
            raise BundleCorruptError(f"{source} cannot be read as a tar archive of a bundle: {error}") from error
        yield Path(folder)


def _extract(archive: tarfile.TarFile, folder: Path, source: Path) -> None:
    left = MOST_BYTES
    parents = set()
    for member in archive:
        if member.isdir():
            continue
        content = archive.extractfile(member) if member.isreg() else None
        if content is None:
            raise BundleCorruptError(f"{source}: {member.name} is no plain file; pack the files of one bundle")
        path = PurePosixPath(member.name)
        parents.add(path.parent)
        left -= member.size
        if left < 0 or len(parents) > 1:
            raise BundleCorruptError(
                f"{source} holds more than one bundle has: files of one folder, at most {MOST_BYTES >> 20} MiB"
            )
        with (folder / path.name).open("wb") as file:
            shutil.copyfileobj(content, file)
