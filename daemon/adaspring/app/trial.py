"""A newly installed bundle proves itself, or the one before it comes back."""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic

import msgspec

from adaspring.app.counters import LEAST_FRAMES
from adaspring.app.messages import Message, told
from adaspring.app.observe import Observed
from adaspring.app.status import Measured
from adaspring.bundle import Pointer, Store
from adaspring.errors import StoreError

_log = logging.getLogger(__name__)

#: Time between two notes of how long the trial has gone well, in seconds: flash wears out.
NOTE_S = 60.0


class TrialConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When a newly installed bundle has proved itself, and when it has not.

    Attributes:
        duration_s: Time in good health after which it is committed, in seconds.
        starts: Starts that did not end well after which it is rolled back.
        failed_percent: Failed requests, of those computed, above which it is rolled back.
        latency_ratio: 95th percentile of a frame's latency over that of the bundle before,
            above which it is rolled back.
    """

    duration_s: float = 600.0
    starts: int = 3
    failed_percent: float = 1.0
    latency_ratio: float = 2.0


def begin_trial(store: Store, config: TrialConfig) -> Pointer | None:
    """Count a start of a version on trial; roll it back where it started in vain too often.

    Returns:
        What is served now; None where nothing is installed.
    """
    pointer = store.pointer()
    if pointer is None or pointer.trial is None:
        return pointer
    if pointer.trial.starts >= config.starts:
        return roll_back(store, f"it started {pointer.trial.starts} times in vain")
    try:
        return store.count(starts=1)
    except StoreError as error:
        # A disk that takes nothing must not keep the daemon from serving.
        _log.error("%s", error, extra=told(Message.STATE_NOT_WRITTEN, folder=store.folder))
        return pointer


def roll_back(store: Store, why: str, version: str | None = None) -> Pointer | None:
    """Go back to the version before, and say so.

    Args:
        store: Where it is installed.
        why: What is wrong with it.
        version: What is wrong; nothing is done where an operator has put another one in its place by now.

    Raises:
        StoreError: If the store cannot be written.
    """
    failed = store.pointer()
    now = store.rollback(version)
    if now == failed:
        return now
    bundle = now.current if now else "that ships"
    _log.error(
        "rolled back from bundle %s to the one %s: %s",
        failed.current if failed else "",
        bundle,
        why,
        extra=told(Message.BUNDLE_ROLLED_BACK, bundle=bundle, cause=why),
    )
    return now


class Trial:
    """Judges the health of a bundle on trial after every look at the sensors."""

    def __init__(
        self,
        store: Store,
        config: TrialConfig,
        before_p95_us: float | None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """Watch.

        Args:
            store: Where the bundle is installed.
            config: What is asked of it.
            before_p95_us: Latency of the bundle before; None where it is not known.
            clock: Monotonic, in seconds.
        """
        self._store = store
        self._config = config
        self._before_p95_us = before_p95_us
        self._clock = clock
        self._noted_s = clock()
        pointer = store.pointer()
        self._version = pointer.current if pointer else None
        self._over = False

    def observe(self, loop: Observed) -> None:
        """See `Observer.observe`."""
        if self._over:
            return
        status = loop.status()
        why = self._complaint(status.requests.answered, status.requests.failed, status.measured)
        try:
            if why is not None:
                self._over = True
                roll_back(self._store, why, self._version)
                loop.start_over(why)
            else:
                self._note()
        except StoreError as error:
            _log.error("%s", error, extra=told(Message.STATE_NOT_WRITTEN, folder=self._store.folder))

    def close(self) -> None:
        """The daemon ends as it should: the start is not held against the bundle."""
        if self._over:
            return
        try:
            self._store.count(self._version, starts=-1, healthy_s=self._clock() - self._noted_s)
        except StoreError as error:
            _log.error("%s", error, extra=told(Message.STATE_NOT_WRITTEN, folder=self._store.folder))

    def _complaint(self, answered: int, failed: int, measured: Measured) -> str | None:
        computed = answered + failed
        if computed >= LEAST_FRAMES and 100.0 * failed > self._config.failed_percent * computed:
            return f"{failed} of {computed} requests failed"
        p95_us = measured.latency_p95_us
        if self._before_p95_us is None or p95_us is None or measured.frames < LEAST_FRAMES:
            return None
        if p95_us > self._config.latency_ratio * self._before_p95_us:
            before_us = self._before_p95_us
            return f"a frame takes {p95_us:.0f} us at the 95th percentile; before it was {before_us:.0f} us"
        return None

    def _note(self) -> None:
        pointer = self._store.pointer()
        if pointer is None or pointer.trial is None or pointer.current != self._version:
            # An operator committed it, or put another one in its place.
            self._over = True
            return
        served_s = self._clock() - self._noted_s
        if pointer.trial.healthy_s + served_s >= self._config.duration_s:
            self._over = True
            bundle = self._store.commit(self._version).current
            _log.info("committed bundle %s", bundle, extra=told(Message.BUNDLE_COMMITTED, bundle=bundle))
        elif served_s >= NOTE_S:
            self._store.count(self._version, healthy_s=served_s)
            self._noted_s += served_s
