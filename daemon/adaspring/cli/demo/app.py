"""A sensing app as a user would write it: streams windows, counts what comes back."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from adaspring.client import Client
from adaspring.errors import ClientError, UnavailableError

#: Frames over which the running accuracy is taken.
RECENT = 200


@dataclass(slots=True)
class Tally:
    """What the app saw so far; written by its thread, read by the view.

    Attributes:
        sent: Frames sent.
        answered: Frames answered.
        failed: Frames without an answer, or with an error.
        turned_away: Frames that the daemon had no time for: a full queue, or an emergency in which it sheds load.
        right: Answers that named the true label.
        recent: Whether the last answers were right.
        round_trips_us: The last round trips, in microseconds.
        subnets: Names of the subnets that answered.
        last: True and named label of the last frame.
        error: The last error, for the summary.
    """

    sent: int = 0
    answered: int = 0
    failed: int = 0
    turned_away: int = 0
    right: int = 0
    recent: deque[bool] = field(default_factory=lambda: deque(maxlen=RECENT))
    round_trips_us: deque[float] = field(default_factory=lambda: deque(maxlen=2000))
    subnets: set[str] = field(default_factory=set)
    last: tuple[str, str] = ("", "")
    error: str = ""


class SensingApp:
    """Streams sample windows to the daemon at the rate that it is told.

    Attributes:
        rate_hz: Frames a second; may be changed at any time.
        tally: What it saw.
    """

    def __init__(self, endpoint: str, sample: Path) -> None:
        """Load the sample.

        Args:
            endpoint: Inference socket of the daemon.
            sample: ``.npz`` with windows ``x``, labels ``y`` and ``class_names``.
        """
        with np.load(sample, allow_pickle=False) as arrays:
            self._x: npt.NDArray[np.float32] = arrays["x"].astype(np.float32)
            self._y: list[int] = arrays["y"].tolist()
            self._names: list[str] = arrays["class_names"].tolist()
        self._endpoint = endpoint
        self._stopping = threading.Event()
        self.rate_hz = 1.0
        self.tally = Tally()

    @contextmanager
    def streaming(self) -> Iterator[None]:
        """Stream in a thread of its own."""
        thread = threading.Thread(target=self._stream, name="app")
        thread.start()
        try:
            yield
        finally:
            self._stopping.set()
            thread.join()

    def _stream(self) -> None:
        due_s = time.monotonic()
        with Client(self._endpoint) as client:
            index = 0
            while not self._stopping.wait(max(0.0, due_s - time.monotonic())):
                self._ask(client, index % len(self._x))
                index += 1
                due_s = max(due_s + 1 / max(self.rate_hz, 0.5), time.monotonic() - 0.5)

    def _ask(self, client: Client, index: int) -> None:
        tally, truth = self.tally, self._names[self._y[index]]
        tally.sent += 1
        try:
            result = client.infer(self._x[index])
        except UnavailableError:
            tally.turned_away += 1
            return
        except ClientError as error:
            tally.failed += 1
            tally.error = str(error)
            return
        tally.answered += 1
        tally.right += result.label == truth
        tally.recent.append(result.label == truth)
        tally.round_trips_us.append(result.round_trip_us)
        tally.subnets.add(result.subnet)
        tally.last = (truth, result.label or "")
