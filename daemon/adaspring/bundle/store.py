"""Installed bundles: immutable versions and one pointer that is replaced at once.

A store holds the versions of one model::

    bundles/har/
    ├── pointer.json           which version is current, which was before, and the trial
    └── versions/
        ├── 1.2-0d9b6e5a3c8f/  a bundle; the digest of its manifest is part of its name
        └── 1.3-74e0a9c5b2f8/

A new version is complete on the disk before the pointer names it, and the pointer is a
file replaced by a rename, so whenever the power fails the store holds the old state or
the new one. The pointer is changed under a lock: an operator's command and the daemon that
judges a trial are two processes. What an interrupted step leaves behind begins with a dot and is removed by
the next installation.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from adaspring.bundle.bundle import MANIFEST, Bundle, load_bundle
from adaspring.bundle.disk import Disk
from adaspring.bundle.signature import SIGNATURE, check_signature
from adaspring.errors import BundleCorruptError, StoreError

POINTER = "pointer.json"
VERSIONS = "versions"
_DIGITS = 12
Changed = TypeVar("Changed", "Pointer", "Pointer | None")


class TrialState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A version that has to prove itself.

    Attributes:
        starts: Starts of the daemon with it that have not ended well.
        healthy_s: Time that it has served in good health, in seconds.
    """

    starts: int = 0
    healthy_s: float = 0.0


class Pointer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is installed.

    Attributes:
        current: Name of the version that is served.
        previous: The version to go back to; None where there is none.
        trial: Of the current version; None once it is committed.
        failed: Versions that were rolled back.
    """

    current: str
    previous: str | None = None
    trial: TrialState | None = None
    failed: tuple[str, ...] = ()


class Store:
    """The installed versions of one model."""

    def __init__(self, folder: Path, disk: Disk | None = None) -> None:
        """Open a store; the folder is made by the first installation.

        Args:
            folder: Of the model.
            disk: Writes below it; None for a real one whose files belong to the owner of the state folder.
        """
        self.folder = folder
        self._disk = disk or Disk(_existing(folder))

    def pointer(self) -> Pointer | None:
        """What is installed; None where nothing is.

        Raises:
            StoreError: If the pointer cannot be read.
        """
        path = self.folder / POINTER
        try:
            return msgspec.json.decode(path.read_bytes(), type=Pointer)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as error:
            raise StoreError(f"{path} cannot be read: {error}; remove it to start with the shipped bundle") from error

    def path(self, version: str) -> Path:
        """The folder of a version."""
        return self.folder / VERSIONS / version

    def versions(self) -> list[str]:
        """Names of what is installed, oldest first."""
        folder = self.folder / VERSIONS
        if not folder.is_dir():
            return []
        found = [path for path in folder.iterdir() if not path.name.startswith(".")]
        return [path.name for path in sorted(found, key=lambda path: (path.stat().st_mtime_ns, path.name))]

    def install(self, source: Path, *, keys: Sequence[Path], allow_unsigned: bool, keep: int = 3) -> str:
        """Install a bundle and point to it, on trial.

        Args:
            source: Folder of the bundle.
            keys: Public keys that may have signed it.
            allow_unsigned: Whether a bundle without a signature may be installed. A wrong signature never may.
            keep: Versions kept besides the current and the previous one.

        Returns:
            Name of the version.

        Raises:
            BundleError: If the bundle must not be loaded, or its signature is missing or wrong.
            StoreError: If the store cannot be written.
        """
        if not allow_unsigned or (source / SIGNATURE).exists():
            check_signature(source, keys)
        bundle = load_bundle(source)
        name = version_name(bundle)
        try:
            self._copy(source, bundle, name)
            with self._locked():
                before = self.pointer()
                if before is None or before.current != name:
                    previous = None if before is None else before.current if before.trial is None else before.previous
                    failed = () if before is None else tuple(each for each in before.failed if each != name)
                    self._point(Pointer(name, previous, TrialState(), failed))
                self._prune(keep)
        except OSError as error:
            raise StoreError(f"bundle store {self.folder} cannot be written: {error}") from error
        return name

    def commit(self, version: str | None = None) -> Pointer:
        """End the trial well.

        Args:
            version: Whose; nothing is done where another one is current by now. None for the current one.

        Returns:
            The pointer now.

        Raises:
            StoreError: If nothing is installed, or the store cannot be written.
        """
        return self._change(version, lambda pointer: msgspec.structs.replace(pointer, trial=None))

    def rollback(self, version: str | None = None) -> Pointer | None:
        """Go back to the version before; without one, to what ships.

        Args:
            version: As for `commit`.

        Returns:
            The pointer now; None where the shipped bundle is served again.

        Raises:
            StoreError: If nothing is installed, or the store cannot be written.
        """

        def back(pointer: Pointer) -> Pointer | None:
            if pointer.previous is None:
                return None
            failed = (*(each for each in pointer.failed if each != pointer.current), pointer.current)
            return Pointer(pointer.previous, None, None, failed)

        return self._change(version, back)

    def count(self, version: str | None = None, *, starts: int = 0, healthy_s: float = 0.0) -> Pointer:
        """Add to what the trial has counted; nothing where there is no trial.

        Args:
            version: As for `commit`.
            starts: Starts that have not ended well.
            healthy_s: Time in good health, in seconds.

        Raises:
            StoreError: If nothing is installed, or the store cannot be written.
        """

        def counted(pointer: Pointer) -> Pointer:
            if pointer.trial is None:
                return pointer
            trial = TrialState(max(0, pointer.trial.starts + starts), pointer.trial.healthy_s + healthy_s)
            return msgspec.structs.replace(pointer, trial=trial)

        return self._change(version, counted)

    def verify(self, version: str, *, keys: Sequence[Path], allow_unsigned: bool) -> Bundle:
        """Check every hash of an installed version, its name, and its signature.

        Raises:
            BundleError: If one is wrong.
        """
        path = self.path(version)
        if not allow_unsigned or (path / SIGNATURE).exists():
            check_signature(path, keys)
        bundle = load_bundle(path)
        if version_name(bundle) != version:
            raise BundleCorruptError(f"bundle {path}: its manifest is another one ({bundle.digest[:_DIGITS]}…)")
        return bundle

    def _installed(self) -> Pointer:
        pointer = self.pointer()
        if pointer is None:
            raise StoreError(f"no bundle is installed in {self.folder}: the shipped one is served")
        return pointer

    def _copy(self, source: Path, bundle: Bundle, name: str) -> None:
        target = self.path(name)
        if target.is_dir():
            return
        incoming = target.with_name(f".incoming-{name}")
        if incoming.exists():
            self._disk.remove(incoming)
        self._disk.make_folder(incoming)
        names = [*bundle.manifest.files, MANIFEST]
        for file in [*names, SIGNATURE] if (source / SIGNATURE).exists() else names:
            content = (source / file).read_bytes()
            digest = bundle.digest if file == MANIFEST else bundle.manifest.files.get(file)
            # Read again since it was verified: the source may be a medium that somebody else writes.
            if digest is not None and hashlib.sha256(content).hexdigest() != digest:
                raise BundleCorruptError(f"bundle {source}: {file} changed while it was installed")
            self._disk.write(incoming / file, content)
        self._disk.sync_folder(incoming)
        self._disk.replace(incoming, target)
        self._disk.sync_folder(target.parent)

    def _change(self, version: str | None, edit: Callable[[Pointer], Changed]) -> Pointer | Changed:
        try:
            with self._locked():
                before = self._installed()
                if version not in (None, before.current):
                    return before
                after = edit(before)
                if after is None:
                    self._disk.replace(self.folder / POINTER, self.folder / f".{POINTER}.before")
                    self._disk.sync_folder(self.folder)
                elif after != before:
                    self._point(after)
                return after
        except OSError as error:
            if isinstance(error, StoreError):
                raise
            raise StoreError(f"bundle store {self.folder} cannot be written: {error}") from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        if not self.folder.is_dir():
            # Nothing is installed, so nobody changes it.
            yield
            return
        fd = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def _point(self, pointer: Pointer) -> None:
        incoming = self.folder / f".{POINTER}.incoming"
        self._disk.write(incoming, msgspec.json.format(msgspec.json.encode(pointer), indent=2) + b"\n")
        self._disk.replace(incoming, self.folder / POINTER)
        self._disk.sync_folder(self.folder)

    def _prune(self, keep: int) -> None:
        pointer = self._installed()
        others = [name for name in self.versions() if name not in (pointer.current, pointer.previous)]
        folder = self.folder / VERSIONS
        for name in others[: max(0, len(others) - keep)]:
            # Gone by one rename: a version is never half there.
            self._disk.replace(folder / name, folder / f".removed-{name}")
        for left in folder.glob(".*"):
            self._disk.remove(left)


def version_name(bundle: Bundle) -> str:
    """What a version is called in a store: its version and the digest of its manifest."""
    version = "".join(letter if letter.isalnum() or letter in ".-_" else "_" for letter in bundle.manifest.version)
    return f"{version.lstrip('.') or '0'}-{bundle.digest[:_DIGITS]}"


def _existing(folder: Path) -> Path:
    """The nearest folder above that exists."""
    return next(path for path in (folder, *folder.parents) if path.is_dir())
