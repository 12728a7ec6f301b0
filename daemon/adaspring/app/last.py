"""The last good decision, kept over restarts: a warm start begins from it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from time import monotonic

import msgspec

from adaspring.app.messages import Message, told
from adaspring.app.observe import Observed
from adaspring.bundle import Disk

_log = logging.getLogger(__name__)

NAME = "last.json"
#: Flash wears out: a record is written at most so often, in seconds. At less than 1 KiB it
#: makes at most 60 KiB an hour.
LEAST_INTERVAL_S = 60.0


class LastDecision(msgspec.Struct, frozen=True):
    """What served last.

    Attributes:
        bundle: Digest of the bundle.
        subnet: In text form.
        latency_p95_us: Measured; None where few frames came.
        at: Wall clock, UTC.
        boot_id: Of the kernel; with `monotonic_s` it dates the record where the wall clock was wrong.
        monotonic_s: Monotonic clock, in seconds.
    """

    bundle: str
    subnet: str
    latency_p95_us: float | None
    at: str
    boot_id: str
    monotonic_s: float


def read_last(state: Path, name: str = NAME) -> LastDecision | None:
    """The record in a state folder; None where there is none that can be read: a warm start is no must."""
    try:
        return msgspec.json.decode((state / name).read_bytes(), type=LastDecision)
    except (OSError, msgspec.DecodeError):
        return None


class LastDecisionKeeper:
    """Writes the record when the subnet changed, in batches, and at the end.

    A folder that cannot be written is told once; the daemon serves on.
    """

    def __init__(
        self,
        state: Path,
        bundle: str,
        boot_id: str,
        wall: Callable[[], str],
        clock: Callable[[], float] = monotonic,
        *,
        name: str = NAME,
    ) -> None:
        """Keep the record in a state folder.

        Args:
            state: Folder.
            bundle: Digest of the bundle that is served.
            boot_id: Of the kernel.
            wall: Wall clock as text.
            clock: Monotonic, in seconds.
            name: Of the file.
        """
        self._state = state
        self._name = name
        self._bundle = bundle
        self._boot_id = boot_id
        self._wall = wall
        self._clock = clock
        self._written: LastDecision | None = None
        self._seen: LastDecision | None = None
        self._next_s = clock()
        self._failing = False

    def observe(self, loop: Observed) -> None:
        """See `Observer.observe`."""
        status = loop.status()
        now_s = self._clock()
        self._seen = LastDecision(
            self._bundle, status.subnet, status.measured.latency_p95_us, self._wall(), self._boot_id, now_s
        )
        changed = self._written is None or self._written.subnet != self._seen.subnet
        if changed and now_s >= self._next_s:
            self._write(self._seen)
            self._next_s = now_s + LEAST_INTERVAL_S

    def close(self) -> None:
        """Write what was seen last: its latency is what a bundle on trial is held against."""
        if self._seen is not None and self._seen is not self._written:
            self._write(self._seen)

    def _write(self, record: LastDecision) -> None:
        incoming = self._state / f".{self._name}.incoming"
        try:
            disk = Disk(self._state.parent)
            disk.make_folder(self._state)
            disk.write(incoming, msgspec.json.encode(record))
            disk.replace(incoming, self._state / self._name)
            disk.sync_folder(self._state)
        except OSError as error:
            if not self._failing:
                _log.error(
                    "state cannot be written to %s, serving goes on: %s",
                    self._state,
                    error,
                    extra=told(Message.STATE_NOT_WRITTEN, folder=self._state),
                )
            self._failing = True
        else:
            self._written = record
            self._failing = False
