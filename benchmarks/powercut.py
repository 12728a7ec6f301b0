"""A disk whose power fails at a chosen step, and what a bundle store holds afterwards."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from adaspring.bundle import Disk, Pointer, Store
from adaspring.errors import AdaSpringError


class PowerCutError(RuntimeError):
    """The power failed; nothing after this step happened."""


class CutDisk(Disk):
    """Cuts the power in the middle of one step.

    A file that is being written is left with half its content. Names that were not synced are either all on the
    disk or all not, as the kernel happened to write them.

    Attributes:
        steps: Steps begun so far.
    """

    def __init__(self, top: Path, cut_at: int, *, unsynced_survives: bool) -> None:
        """Cut at a step.

        Args:
            top: Folder that is written below.
            cut_at: Number of the step, from 1; 0 for never.
            unsynced_survives: Whether names that were not synced are on the disk.
        """
        super().__init__(top)
        self.steps = 0
        self._cut_at = cut_at
        self._survives = unsynced_survives
        self._undo: list[tuple[Path, Callable[[], object]]] = []

    def make_folder(self, path: Path) -> None:
        """See `Disk.make_folder`."""
        self._step()
        super().make_folder(path)

    def write(self, path: Path, content: bytes) -> None:
        """See `Disk.write`."""
        self._step(lambda: path.write_bytes(content[: len(content) // 2]))
        super().write(path, content)
        self._undo.append((path.parent, lambda: path.unlink(missing_ok=True)))

    def replace(self, source: Path, target: Path) -> None:
        """See `Disk.replace`."""
        self._step()
        before = target.read_bytes() if target.is_file() else None
        super().replace(source, target)

        def back() -> None:
            target.replace(source)
            if before is not None:
                target.write_bytes(before)

        self._undo.append((target.parent, back))

    def sync_folder(self, path: Path) -> None:
        """See `Disk.sync_folder`."""
        self._step()
        super().sync_folder(path)
        self._undo = [(folder, undo) for folder, undo in self._undo if folder != path]

    def remove(self, path: Path) -> None:
        """See `Disk.remove`."""
        self._step(lambda: next(file for file in path.iterdir()).unlink())
        super().remove(path)

    def _step(self, halfway: Callable[[], object] = lambda: None) -> None:
        self.steps += 1
        if self.steps != self._cut_at:
            return
        halfway()
        if not self._survives:
            for _, undo in reversed(self._undo):
                undo()
        raise PowerCutError(f"the power failed in step {self.steps}")


def inconsistent_points(prepared: Path, act: Callable[[Store], object], scratch: Path) -> tuple[int, list[str]]:
    """Cut the power at every step of what is done to a store, and look at what it then holds.

    Args:
        prepared: A store before.
        act: What is done to it.
        scratch: Folder for the copies that are cut.

    Returns:
        How many points were tested, and what was wrong at which of them: the pointer neither the old nor the new
        one, or a version behind it that cannot be loaded, or a second attempt that fails.
    """
    whole = _copied(prepared, scratch / "whole")
    disk = CutDisk(scratch, 0, unsynced_survives=True)
    act(Store(whole, disk))
    expected = (Store(prepared).pointer(), Store(whole).pointer())
    wrong: list[str] = []
    for survives in (True, False):
        for cut_at in range(1, disk.steps + 1):
            folder = _copied(prepared, scratch / f"{cut_at}-{survives}")
            try:
                act(Store(folder, CutDisk(scratch, cut_at, unsynced_survives=survives)))
            except PowerCutError:
                fault = _fault(Store(folder), expected, act)
            else:
                fault = "the power did not fail"
            if fault:
                wrong.append(f"step {cut_at}, names {'kept' if survives else 'lost'}: {fault}")
            shutil.rmtree(folder)
    return 2 * disk.steps, wrong


def _copied(store: Path, target: Path) -> Path:
    if target.exists():
        shutil.rmtree(target)
    shutil.copytree(store, target / store.name)
    return target / store.name


def _fault(store: Store, expected: tuple[Pointer | None, Pointer | None], act: Callable[[Store], object]) -> str:
    try:
        found = store.pointer()
        if found not in expected:
            return f"the pointer is {found}"
        if found is not None:
            store.verify(found.current, keys=(), allow_unsigned=True)
        if found == expected[0]:
            act(store)
        if store.pointer() != expected[1]:
            return f"a second attempt leads to {store.pointer()}"
    except AdaSpringError as error:
        return str(error)
    return ""
