"""The data plane: one ROUTER socket, one thread, one subnet at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import msgspec
import zmq

from adaspring.engine.base import Active
from adaspring.errors import ConfigError
from adaspring.features import Pipeline
from adaspring.serve.batching import Batching
from adaspring.serve.curve import CurveListener
from adaspring.serve.endpoint import Claim
from adaspring.serve.intake import Intake
from adaspring.serve.measurements import Measurements, Times
from adaspring.serve.outbox import Outbox
from adaspring.serve.protocol import DEFAULT_LIMITS, Limits, ModelSignature, Statistics
from adaspring.serve.queue import RequestQueue
from adaspring.serve.shed import Shedder
from adaspring.serve.sockets import readable, receive
from adaspring.serve.streams import Streams
from adaspring.serve.waiting import Waiting
from adaspring.serve.worker import Worker

#: Where threads of this process reach the data plane through the same context.
INPROC = "inproc://infer"
#: Messages taken from the socket between two requests: a flood must not keep the subnet idle.
TAKE_LIMIT = 64
#: Refusals after which a turn takes no more: who is turned away must not cost those who wait.
REFUSE_LIMIT = 4
#: A look whether others wait costs as much as decoding a request. While nobody is known
#: to wait, the loop takes one only so often: for so long a late priority may stand behind.
LOOK_S = 1e-3
#: How often streams are looked through for idle ones, in seconds.
IDLE_LOOK_S = 5.0
#: Messages of one client that libzmq may hold in memory for us.
RECEIVE_MARK = 8
#: Replies to one client that it may hold: all that can be refused or expire in a few turns,
#: and fewer where replies are large.
SEND_MARK = 1024
LEAST_SEND_MARK = 8
SEND_BYTES = 4 << 20
#: A connection that did not finish its handshake by then is closed, in milliseconds.
HANDSHAKE_MS = 3000
#: Seconds in which a stopped loop answers what still waits; in the first half it takes in what still comes.
DRAIN_S = 0.8
#: What a stopped loop has not seen for so long will not come any more, in milliseconds.
STRAGGLE_MS = 50
#: How long replies may still leave after the socket was closed, in milliseconds.
LINGER_MS = 200


class DataPlane:
    """Answers clients with the active subnet.

    `bind` runs in the thread that starts things, so that its errors surface there; `run`
    in the data thread. `stop`, `statistics`, the methods that give times and the settings
    `extra`, `batch_curve` and `spin_us` may be used from any thread.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        claim: Claim,
        active: Active,
        model: ModelSignature,
        *,
        pipeline: Pipeline | None = None,
        curve: CurveListener | None = None,
        limits: Limits = DEFAULT_LIMITS,
        queue_size: int = 128,
        clock: Callable[[], float] = time.monotonic,
        idle_s: float = 0.5,
    ) -> None:
        """Put a socket in front of the active subnet.

        Args:
            context: Makes the socket.
            claim: Where to serve.
            active: The reference that a swap assigns.
            model: What requests are held against.
            pipeline: Makes inputs of raw samples, where `model` takes such.
            curve: Serves clients on TCP as well; None for ipc alone.
            limits: What a message may be.
            queue_size: Requests that may wait.
            clock: Monotonic, in seconds.
            idle_s: The longest wait for a message, and so for `stop`, in seconds.

        Raises:
            ConfigError: If one of model and pipeline takes raw samples and the other does not.
        """
        if (model.raw is None) != (pipeline is None):
            raise ConfigError("a model takes raw samples if, and only if, there is a pipeline that preprocesses them")
        self._claim = claim
        self._curve = curve
        self._clock = clock
        self._stopping = False
        self._last_progress_s = self._looked_s = self._looked_for_idle_s = clock()

        self._socket = context.socket(zmq.ROUTER)
        self._socket.router_mandatory = True
        self._socket.rcvtimeo = max(1, int(idle_s * 1e3))
        self._socket.rcvhwm = RECEIVE_MARK
        reply_bytes = limits.header_bytes // 64 + 4 * model.outputs * limits.samples
        self._socket.sndhwm = max(LEAST_SEND_MARK, min(SEND_MARK, SEND_BYTES // reply_bytes))
        self._socket.handshake_ivl = HANDSHAKE_MS
        self._socket.maxmsgsize = limits.message_bytes
        self._socket.linger = LINGER_MS

        self._queue = RequestQueue(queue_size)
        self._measurements = Measurements()
        self._waiting = Waiting(self._socket, clock)
        self._streams = Streams(pipeline, model.raw, clock)
        self._outbox = Outbox(self._socket, self._measurements)
        self._worker = Worker(
            queue=self._queue,
            outbox=self._outbox,
            measurements=self._measurements,
            active=active,
            model=model,
            pipeline=pipeline,
            clock=clock,
        )
        self._intake = Intake(
            queue=self._queue,
            streams=self._streams,
            outbox=self._outbox,
            measurements=self._measurements,
            active=active,
            model=model,
            limits=limits,
            statistics=self.statistics,
            expire=self._worker.expire,
            clock=clock,
        )

    @property
    def extra(self) -> dict[str, Any]:
        """What META adds for clients; assign a new one to change it."""
        return self._intake.extra

    @extra.setter
    def extra(self, extra: dict[str, Any]) -> None:
        # What cannot be encoded must fail here and not in the data thread.
        msgspec.json.encode(extra)
        self._intake.extra = extra

    def batch_by(self, curve: Mapping[int, float]) -> None:
        """Compute requests together where that pays.

        Args:
            curve: Measured time of a batch by its size, over that of one frame; an empty
                one, as at the start, computes them one by one.
        """
        self._worker.batching = Batching(curve)

    def crowd(self) -> int:
        """The most requests that waited together since the last call; zero where none waited for another."""
        crowd, self._worker.crowd = self._worker.crowd, 0
        return crowd

    def spin(self, spin_us: float) -> None:
        """Stay awake for so long, in microseconds, while messages come as fast; 0 sleeps at once, as at the start."""
        self._waiting.spin_s = spin_us * 1e-6

    def shed(self, share: float | None) -> None:
        """Let in only so much work that the engine is busy for a share of the time; None lets all in, as at the start.

        What does not get in is answered UNAVAILABLE with a hint.
        """
        self._intake.shedder = None if share is None else Shedder(share, self._clock())

    def bind(self) -> None:
        """Open the endpoint.

        Raises:
            ConfigError: If it cannot be bound; the plane is then closed.
        """
        try:
            self._socket.bind(INPROC)
            self._claim.bind(self._socket)
            if self._curve is not None:
                self._curve.bind(self._socket)
        except BaseException:
            self.close()
            raise

    def run(self) -> None:
        """Serve until `stop`, then answer what waits, and close."""
        try:
            while not self._stopping:
                self._turn(wait=True)
            taken_by_s = self._clock() + DRAIN_S / 2
            drained_by_s = taken_by_s + DRAIN_S / 2
            # No message just now is not none: those that were sent may still be on their way through the I/O threads.
            while (self._turn(wait=False) or self._socket.poll(STRAGGLE_MS)) and self._clock() < taken_by_s:
                pass
            # Clients that go on asking would find some turned away whenever we end; they will ask who comes next.
            while self._queue and self._clock() < drained_by_s:
                self._worker.expire()
                self._worker.compute()
            for work in self._queue.clear():
                self._outbox.turn_away(work, "draining", "the daemon is stopping; connect again")
        finally:
            self.close()

    def close(self) -> None:
        """Close the socket. `run` does it; only a plane that never ran needs it."""
        self._socket.close()

    def stop(self) -> None:
        """Let `run` end within its idle time and `DRAIN_S`. Safe in a signal handler."""
        self._stopping = self._intake.stopping = True

    def statistics(self) -> Statistics:
        """What happened so far."""
        return self._measurements.statistics(len(self._queue), self._last_progress_s)

    def recent_compute_us(self, generation: int | None = None) -> Times:
        """Compute of one frame, which is what latency tables predict, in the last requests.

        That of a batch counts as its time over its cost on the batch curve.

        Args:
            generation: Only requests that it answered; None for all.

        Returns:
            Microseconds, at most `measurements.RECENT` of them, oldest first.
        """
        return self._measurements.recent_compute_us(generation)

    def recent_timeouts_us(self) -> Times:
        """What the last requests that have a deadline were given from arrival on, in microseconds, in no order."""
        return self._measurements.recent_timeouts_us()

    def compute_us_since(self, answered: int, generation: int) -> Times:
        """Compute of the requests of a single sample that a generation answered since a count of answers.

        Args:
            answered: What `statistics` counted as answered then.
            generation: Only requests that it answered.

        Returns:
            Microseconds, oldest first; at most `measurements.KEPT` requests are looked back.
        """
        return self._measurements.compute_us_since(answered, generation)

    def times_since(self, answered: int) -> tuple[int, Times, Times]:
        """Times of the requests since a count of answers, whichever generation answered.

        Args:
            answered: What the last call counted; 0 at first.

        Returns:
            The count of answers up to which they are; compute of one frame where it is known; and the requests from
            arrival until the reply was sent. Both in microseconds, at most `measurements.KEPT` of them, oldest first.
        """
        return self._measurements.times_since(answered)

    def recent_total_us(self, generation: int | None = None) -> Times:
        """The last requests from arrival until the reply was sent; see `recent_compute_us`."""
        return self._measurements.recent_total_us(generation)

    def _turn(self, *, wait: bool) -> bool:
        """Take in what has come and compute what is next.

        Returns:
            False if there was nothing to do.
        """
        took = False
        if self._queue or not wait or self._last_progress_s - self._looked_s >= LOOK_S:
            self._looked_s = self._last_progress_s
            took = self._look()
        if self._queue:
            self._worker.expire()
        elif wait:
            # A receive that blocks saves the system call and the wake-up of a poll, and
            # who comes to an idle daemon is computed at once, without a look for others.
            with suppress(zmq.Again):
                self._intake.take(self._waiting.receive())
        computed = self._worker.compute()
        self._last_progress_s = self._clock()
        if self._last_progress_s - self._looked_for_idle_s > IDLE_LOOK_S:
            self._looked_for_idle_s = self._last_progress_s
            self._streams.forget_idle()
            self._measurements.streams = len(self._streams)
        return computed or took

    def _look(self) -> bool:
        """Take in what has come already; whether anything had."""
        rejected = self._measurements.rejected
        enough = rejected["queue_full"] + REFUSE_LIMIT
        for taken in range(TAKE_LIMIT):
            if not readable(self._socket) or rejected["queue_full"] >= enough:
                return taken > 0
            self._intake.take(receive(self._socket))
        return True
