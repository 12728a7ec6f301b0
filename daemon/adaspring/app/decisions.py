"""Decisions kept on disk, with all that they can be made again from.

One folder for each planner, named by its fingerprint: the device tables and the policy
that it decides from, and its decisions, a line of JSON each. With the bundle such a
folder is complete: copy it anywhere and `redecide` makes every decision again.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
from msgspec.structs import asdict

from adaspring.bundle import Bundle
from adaspring.decide import Decision, Planner, Policy, replay
from adaspring.errors import TableError
from adaspring.profile import load_tables, save_tables
from adaspring.profile.store import replace_file

_log = logging.getLogger(__name__)

TABLES, POLICY, DECISIONS = "tables.npz", "policy.json", "decisions.jsonl"
#: A file of decisions is begun anew beyond this; the one before it stays, ending in ``.1``.
MOST_BYTES = 4 * 2**20
#: Folders of planners that are kept, the newest.
MOST_PLANNERS = 8


class KeptDecision(Decision, frozen=True):
    """A line of the log: a decision, and when it was made.

    Attributes:
        at: Wall clock, ISO 8601, UTC; empty in logs of before it was kept.
        boot_id: Of the kernel whose monotonic clock the context tells.
    """

    at: str = ""
    boot_id: str = ""


class DecisionLog:
    """Writes decisions where they are found again. What cannot be written is told once and lost."""

    def __init__(self, folder: Path, most_bytes: int = MOST_BYTES) -> None:
        """Keep decisions in a folder, which need not be there yet."""
        self._folder = folder
        self._most_bytes = most_bytes
        self._kept = ""
        self._failed = False

    def keep(self, decision: Decision, planner: Planner, *, at: str = "", boot_id: str = "") -> None:
        """Write a decision, and its planner where that is another than the last one's.

        Args:
            decision: What was decided.
            planner: Who decided.
            at: Wall clock, ISO 8601, UTC.
            boot_id: Of the kernel whose monotonic clock the decision's context tells.
        """
        try:
            self._write(KeptDecision(**asdict(decision), at=at, boot_id=boot_id), planner)
        except OSError as error:
            if not self._failed:
                _log.warning("decisions cannot be kept in %s: %s", self._folder, error)
            self._failed = True
        else:
            self._failed = False

    def _write(self, decision: KeptDecision, planner: Planner) -> None:
        folder = self._folder / decision.planner
        if self._kept != decision.planner:
            save_tables(folder / TABLES, planner.tables)
            replace_file(folder / POLICY, msgspec.json.encode(planner.policy))
            self._forget_old(folder)
            self._kept = decision.planner
        path = folder / DECISIONS
        if path.exists() and path.stat().st_size > self._most_bytes:
            path.replace(path.with_name(f"{DECISIONS}.1"))
        with path.open("ab") as file:
            file.write(msgspec.json.encode(decision) + b"\n")

    def _forget_old(self, newest: Path) -> None:
        others = [folder for folder in self._folder.iterdir() if folder.is_dir() and folder != newest]
        others.sort(key=lambda folder: folder.stat().st_mtime)
        for folder in others[: max(0, len(others) + 1 - MOST_PLANNERS)]:
            shutil.rmtree(folder)


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
