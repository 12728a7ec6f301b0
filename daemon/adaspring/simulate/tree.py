"""A live tree of files that stands for a board: what sysfs and procfs would show of a state.

Which files a board shows, and the kernel documents behind them, stand in its `BoardTree`.
"""

from __future__ import annotations

import os
from fnmatch import fnmatch
from pathlib import Path

from adaspring.simulate.boardtree import SIMULATED, BoardTree, load_board_tree
from adaspring.simulate.device import DayState
from adaspring.simulate.values import sensor_values

#: Model in the device tree; no device profile claims it, so the kind of machine decides.
DEFAULT_MODEL = "AdaSpring simulated board"

_CPU = "sys/devices/system/cpu"
#: Clock ticks per second in /proc/stat (USER_HZ).
_TICKS = 100


class LiveTree:
    """Writes states as files. A reader finds each file whole: it is written beside and renamed."""

    def __init__(self, root: Path, *, model: str = DEFAULT_MODEL, board: BoardTree | None = None) -> None:
        """Begin a tree.

        Args:
            root: Folder that becomes the sysroot; created if it is not there.
            model: What the device tree names the board, for example
                ``"Raspberry Pi 4 Model B Rev 1.4"``, where the tree leaves that open.
            board: Its files; default: those of no board in particular.
        """
        self.root = root
        self._model = model
        self._board = board or load_board_tree(SIMULATED)
        self._written: dict[str, str] = {}
        self._time_s: float | None = None
        self._busy_ticks = 0.0
        self._idle_ticks = 0.0

    def write(self, state: DayState) -> None:
        """Bring every file up to a state; what did not change is not touched.

        Raises:
            OSError: If the folder cannot be written.
        """
        if not self._written:
            self._link_cores(state.cores)
        self._count_ticks(state)
        values = sensor_values(state, model=self._model, busy_ticks=self._busy_ticks, idle_ticks=self._idle_ticks)
        for path, template in self._board.files.items():
            if any(fnmatch(path, pattern) for pattern in state.vanished):
                self._remove(path.lstrip("/"))
            else:
                self._replace(path.lstrip("/"), template.format_map(values))

    def _remove(self, path: str) -> None:
        if self._written.pop(path, None) is not None:
            (self.root / path).unlink()

    def _replace(self, path: str, text: str) -> None:
        if self._written.get(path) == text:
            return
        target = self.root / path
        if path not in self._written:
            target.parent.mkdir(parents=True, exist_ok=True)
        beside = target.with_name(f".{target.name}.new")
        beside.write_text(text, encoding="utf-8")
        os.replace(beside, target)  # noqa: PTH105 - the atomic rename is the point
        self._written[path] = text

    def _link_cores(self, cores: int) -> None:
        """Where there is one frequency domain, every core links to it."""
        policies = {Path(path).parts[6] for path in self._board.files if path.startswith(f"/{_CPU}/cpufreq/")}
        if policies != {"policy0"}:
            return
        for core in range(cores):
            link = self.root / f"{_CPU}/cpu{core}/cpufreq"
            if not link.is_symlink():
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to("../cpufreq/policy0")

    def _count_ticks(self, state: DayState) -> None:
        """Counters since boot: user and idle time grow with the simulated time."""
        elapsed_s = 1.0 if self._time_s is None else state.time_s - self._time_s
        self._time_s = state.time_s
        ticks = elapsed_s * _TICKS * state.cores
        self._busy_ticks += ticks * state.cpu_percent / 100
        self._idle_ticks += ticks * (1 - state.cpu_percent / 100)
