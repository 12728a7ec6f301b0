"""Decisions kept on disk, with all that they can be made again from.

One folder for each planner, named by its fingerprint: the device tables and the policy
that it decides from, and its decisions, a line of JSON each. With the bundle such a
folder is complete: copy it anywhere and `redecide` makes every decision again.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import inf
from pathlib import Path
from time import monotonic

import msgspec
from msgspec.structs import asdict

from adaspring.app.observe import Observed
from adaspring.bundle import Bundle
from adaspring.decide import Decision, Planner, Policy, replay
from adaspring.errors import TableError
from adaspring.profile import load_tables, save_tables
from adaspring.profile.store import replace_file

_log = logging.getLogger(__name__)

TABLES, POLICY, DECISIONS = "tables.npz", "policy.json", "decisions.jsonl"
#: A file of decisions is begun anew beyond this; the one before it stays, ending in ``.1``.
MOST_BYTES = 4 * 2**20
#: Time between two writes, in seconds.
WRITE_S = 60.0
#: What an hour may add to what is written, in bytes, and what may be written at once after a calm time: 640 KiB in any
#: hour, which leaves room for the planners themselves, what was learned and the last decision within a megabyte.
HOURLY_BYTES, BURST_BYTES = 384 << 10, 256 << 10
#: Folders of planners that are kept, the newest.
MOST_PLANNERS = 8


class KeptDecision(Decision, frozen=True):
    """A line of the log: a decision, and when it was made.

    Attributes:
        at: Wall clock, ISO 8601, UTC; empty in logs of before it was kept.
        boot_id: Of the kernel whose monotonic clock the context tells.
        left_out: Decisions before this one that were not kept, because there were too many.
    """

    at: str = ""
    boot_id: str = ""
    left_out: int = 0


class DecisionLog:
    """Writes decisions where they are found again, as an observer of the loop that makes them.

    Flash wears out: lines are written together, at most once a minute, and never more than an allowance. Decisions
    beyond it are left out and counted. What cannot be written is told once and lost.
    """

    def __init__(self, folder: Path, most_bytes: int = MOST_BYTES, clock: Callable[[], float] = monotonic) -> None:
        """Keep decisions in a folder, which need not be there yet.

        Args:
            folder: Of the model.
            most_bytes: Size of a file of decisions beyond which it is begun anew.
            clock: Monotonic, in seconds.
        """
        self._folder = folder
        self._most_bytes = most_bytes
        self._clock = clock
        self._kept = ""
        self._failed = False
        self._waiting: list[bytes] = []
        self._left_out = 0
        self._allowance = float(BURST_BYTES)
        self._allowed_s = clock()
        self._written_s = -inf

    def keep(self, decision: Decision, planner: Planner, *, at: str = "", boot_id: str = "") -> None:
        """Have a decision written, and at once its planner where that is another than the last one's.

        Args:
            decision: What was decided.
            planner: Who decided.
            at: Wall clock, ISO 8601, UTC.
            boot_id: Of the kernel whose monotonic clock the decision's context tells.
        """
        if self._kept != decision.planner:
            self._write()
            self._try(lambda: self._begin(decision.planner, planner))
        if self._kept != decision.planner:
            return
        now_s = self._clock()
        self._allowance = min(BURST_BYTES, self._allowance + (now_s - self._allowed_s) * HOURLY_BYTES / 3600)
        self._allowed_s = now_s
        kept = KeptDecision(**asdict(decision), at=at, boot_id=boot_id, left_out=self._left_out)
        line = msgspec.json.encode(kept) + b"\n"
        if len(line) > self._allowance:
            self._left_out += 1
            return
        self._allowance -= len(line)
        self._left_out = 0
        self._waiting.append(line)
        self.observe()

    def observe(self, _loop: Observed | None = None) -> None:
        """See `Observer.observe`."""
        if self._waiting and self._clock() - self._written_s >= WRITE_S:
            self._write()

    def close(self) -> None:
        """See `Observer.close`."""
        self._write()

    def _write(self) -> None:
        lines, self._waiting = self._waiting, []
        if lines and self._kept:
            self._written_s = self._clock()
            self._try(lambda: self._append(b"".join(lines)))

    def _try(self, write: Callable[[], None]) -> None:
        try:
            write()
        except OSError as error:
            if not self._failed:
                _log.warning("decisions cannot be kept in %s: %s", self._folder, error)
            self._failed = True
        else:
            self._failed = False

    def _begin(self, fingerprint: str, planner: Planner) -> None:
        folder = self._folder / fingerprint
        save_tables(folder / TABLES, planner.tables)
        replace_file(folder / POLICY, msgspec.json.encode(planner.policy))
        self._forget_old(folder)
        _drop_half_line(folder / DECISIONS)
        self._kept = fingerprint

    def _append(self, lines: bytes) -> None:
        path = self._folder / self._kept / DECISIONS
        if path.exists() and path.stat().st_size > self._most_bytes:
            path.replace(path.with_name(f"{DECISIONS}.1"))
        with path.open("ab", buffering=0) as file:
            whole_bytes, left = file.tell(), memoryview(lines)
            try:
                while left:
                    left = left[file.write(left) :]
            except OSError:
                # A full disk takes the beginning of a line: without it, the lines behind it can be read.
                file.truncate(whole_bytes)
                raise

    def _forget_old(self, newest: Path) -> None:
        others = [folder for folder in self._folder.iterdir() if folder.is_dir() and folder != newest]
        others.sort(key=lambda folder: folder.stat().st_mtime)
        for folder in others[: max(0, len(others) + 1 - MOST_PLANNERS)]:
            shutil.rmtree(folder)


def _drop_half_line(path: Path) -> None:
    """Cut off the line in which the power went: what is written behind it could not be read."""
    content = path.read_bytes() if path.exists() else b""
    whole_bytes = content.rfind(b"\n") + 1
    if whole_bytes < len(content):
        os.truncate(path, whole_bytes)


@dataclass(frozen=True, slots=True)
class Redecided:
    """One decision made again.

    Attributes:
        where: File and line.
        kept: As it was kept.
        again: As it came out; the same but for the time of the search, or something is wrong.
    """

    where: str
    kept: Decision
    again: Decision

    @property
    def same(self) -> bool:
        """Whether all but the time of the search is the same, bit for bit."""
        return msgspec.structs.replace(self.kept, search_us=self.again.search_us) == self.again


def log_files(folder: Path) -> list[Path]:
    """Files of decisions of a planner's folder, oldest first."""
    return sorted(folder.glob(f"{DECISIONS}*"), reverse=True)


def redecide(folder: Path, bundle: Bundle) -> Iterator[Redecided]:
    """Make every decision of a planner's folder again.

    Args:
        folder: As `DecisionLog` leaves it.
        bundle: The bundle that was decided for.

    Raises:
        TableError: If the folder is not complete, of another bundle, or holds what is no decision.
    """
    try:
        tables = load_tables(folder / TABLES, bundle.space)
        policy = msgspec.json.decode((folder / POLICY).read_bytes(), type=Policy)
    except FileNotFoundError as error:
        raise TableError(f"{folder} is no folder of decisions: it has no {Path(error.filename).name}") from None
    except msgspec.MsgspecError as error:
        raise TableError(f"{folder / POLICY} is no policy: {error}") from error
    if tables.facts.bundle != bundle.digest:
        raise TableError(f"{folder} was decided for bundle {tables.facts.bundle[:16]}, not for {bundle.digest[:16]}")
    planner = Planner(bundle.space, bundle.accuracy.percent, tables, policy, atlas=tables.atlas)
    for path in log_files(folder):
        for number, line in enumerate(path.read_bytes().splitlines(), start=1):
            where = f"{path}:{number}"
            try:
                kept = msgspec.json.decode(line, type=Decision)
            except msgspec.MsgspecError as error:
                raise TableError(f"{where}: this is no decision: {error}") from error
            yield Redecided(where, kept, replay(kept, planner))
