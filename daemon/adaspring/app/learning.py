"""What the daemon learns about its tables, and how that survives a restart."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from time import CLOCK_BOOTTIME, clock_gettime, time

import msgspec
import numpy as np
import numpy.typing as npt

from adaspring.context.model import Context
from adaspring.decide import Planner
from adaspring.profile import PERCENTILE, replace_file
from adaspring.space import Genome
from adaspring.tables import (
    DeviceTables,
    EnergyCorrection,
    Evidence,
    LatencyCorrection,
    Learned,
    drift_percent,
    fit_residuals,
    remember,
)

_log = logging.getLogger(__name__)

#: Version of the file; files of another are not read.
VERSION = 1
#: Frames of one subnet under one condition that make a piece of evidence.
EVIDENCE_FRAMES = 50
#: Least time between two writes of the file, in seconds: flash wears.
SAVE_S = 600.0
#: How often drift is looked for, in seconds.
DRIFT_S = 600.0
#: Spread between old and corrected latency over the atlas from which it is rebuilt, in percent.
#: A fresh fit of the tables is itself off by about so much.
DRIFTED_PERCENT = 5.0
#: How far the wall clock must have moved against the time since boot to have been set, in seconds;
#: less is the clock being trimmed.
SET_S = 60.0


class LearnedFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file beside the tables.

    Attributes:
        version: Of the format.
        tables: When the tables were measured that it corrects; what corrects others says nothing.
        latency: Factors of latency.
        energy: Factors of energy.
        evidence: What single subnets took.
    """

    version: int
    tables: str
    latency: tuple[Learned, ...]
    energy: tuple[Learned, ...]
    evidence: tuple[Evidence, ...]


def learned_path(tables: Path) -> Path:
    """Where that lies which was learned about tables."""
    return tables.with_suffix(".learned.json")


def load_learned(path: Path, created: str) -> LearnedFile:
    """What was learned about tables measured at a time; nothing where the file tells of others or cannot be read."""
    nothing = LearnedFile(VERSION, created, (), (), ())
    try:
        known = msgspec.json.decode(path.read_bytes(), type=LearnedFile)
    except FileNotFoundError:
        return nothing
    except (OSError, msgspec.DecodeError) as error:
        # It is learned again in minutes; a damaged file must not keep a device from serving.
        _log.warning("%s cannot be read, so corrections start anew: %s", path, error)
        return nothing
    return known if (known.version, known.tables) == (VERSION, created) else nothing


def since_boot_s() -> float:
    """Time since boot, suspensions included, in seconds; nobody sets it."""
    return clock_gettime(CLOCK_BOOTTIME)


class Learner:
    """Feeds what is measured to the corrections, keeps them on disk, and watches the tables drift.

    Attributes:
        latency: Correction of the latency table.
        energy: Correction of the energy table.
        evidence: What single subnets took.
    """

    def __init__(
        self,
        path: Path,
        tables: DeviceTables,
        *,
        wall: Callable[[], float] = time,
        since_boot: Callable[[], float] = since_boot_s,
        keep: bool = True,
    ) -> None:
        """Go on from what the file holds.

        Args:
            path: The file.
            tables: As measured, without corrections of single entries.
            wall: Seconds since 1970; may be set while this runs.
            since_boot: Seconds since boot.
            keep: Whether what is learned goes to disk.
        """
        self._path = path
        self._wall = wall
        self._since_boot = since_boot
        self._keep = keep
        self._begin(tables)

    def _begin(self, tables: DeviceTables) -> None:
        self._tables = tables
        self.latency = LatencyCorrection(wall=self._wall)
        self.energy = EnergyCorrection(wall=self._wall)
        known = load_learned(self._path, tables.facts.created)
        self.latency.restore(known.latency)
        self.energy.restore(known.energy)
        self.evidence = known.evidence
        self._saved = self._looked = self._wall()
        self._booted = self._wall() - self._since_boot()
        self._changed = False
        self._key: tuple[bytes, str] = (b"", "")
        self._frames_us: list[float] = []

    @property
    def saved_at(self) -> float:
        """When the file was last written or read, in seconds since 1970."""
        return self._saved

    def observe(self, planner: Planner, genome: Genome, frames_us: npt.NDArray[np.float64], context: Context) -> None:
        """Learn from the frames since the last look and from the power drawn.

        Args:
            planner: Whose tables are held against what was measured.
            genome: The subnet that answered the frames.
            frames_us: What they took, oldest first, in microseconds; may be empty.
            context: Under which they were answered.
        """
        self._follow_wall_clock()
        planner.observe_power(genome, context)
        if not len(frames_us):
            return
        planner.observe(genome, frames_us, context)
        self._changed = True
        condition = planner.conditions(context)[0]
        key = (genome.tobytes(), condition)
        if key != self._key:
            self._key, self._frames_us = key, []
        self._frames_us += frames_us.tolist()
        if len(self._frames_us) >= EVIDENCE_FRAMES:
            low_us = float(np.percentile(self._frames_us[-EVIDENCE_FRAMES:], PERCENTILE))
            piece = Evidence(tuple(genome.tolist()), condition, low_us, self._wall())
            self.evidence = remember(self.evidence, piece)
            self._frames_us = []

    def _follow_wall_clock(self) -> None:
        # A board without a battery-backed clock boots in another year. Once its clock is synchronised,
        # all that was learned since would seem to be years old, and be forgotten.
        booted = self._wall() - self._since_boot()
        set_by_s = booted - self._booted
        if abs(set_by_s) < SET_S:
            return
        _log.info("the wall clock was set by %.0f s: what was learned is dated anew", set_by_s)
        self._booted = booted
        self._saved += set_by_s
        self._looked += set_by_s
        self.latency.redate(set_by_s)
        self.energy.redate(set_by_s)
        self.evidence = tuple(msgspec.structs.replace(piece, at=piece.at + set_by_s) for piece in self.evidence)

    def save_if_due(self) -> None:
        """Write the file, if something was learned and the last write is long enough ago."""
        if self._changed and self._wall() - self._saved >= SAVE_S:
            self.save()

    def save(self) -> None:
        """Write the file now; a disk that is full or read-only is no reason to stop serving."""
        if not (self._keep and self._changed):
            return
        content = LearnedFile(
            VERSION, self._tables.facts.created, self.latency.learned(), self.energy.learned(), self.evidence
        )
        try:
            replace_file(self._path, msgspec.json.encode(content))
        except OSError as error:
            _log.warning("what was learned could not be kept in %s: %s", self._path, error)
        self._saved = self._wall()
        self._changed = False

    def drifted_percent(self, planner: Planner) -> float | None:
        """How far the atlas has drifted, where it has so far that it should be rebuilt; looked for seldom."""
        atlas = planner.tables.atlas
        if atlas is None or self._wall() - self._looked < DRIFT_S:
            return None
        self._looked = self._wall()
        fit = fit_residuals(planner.space, self._tables.latency_us, self.evidence)
        if fit is None:
            return None
        drift = drift_percent(planner.space, planner.tables.latency_us, fit.table, atlas.genomes)
        return drift if drift >= DRIFTED_PERCENT else None

    def adopt(self, tables: DeviceTables) -> None:
        """Go on under tables that replace those before.

        Args:
            tables: As measured. Where they are those of before, only single entries of them
                were corrected, and the factors stand until new frames speak.
        """
        if tables.facts.created == self._tables.facts.created:
            self.latency.rebase()
        else:
            self._begin(tables)
