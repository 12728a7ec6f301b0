"""The data plane: one ROUTER socket, one thread, one subnet at a time of each model."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import zmq

from adaspring.serve.curve import CurveListener
from adaspring.serve.endpoint import Claim
from adaspring.serve.intake import Intake
from adaspring.serve.lane import Lane
from adaspring.serve.measurements import Refusals, together
from adaspring.serve.outbox import Outbox
from adaspring.serve.protocol import DEFAULT_LIMITS, Limits, Statistics
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
#: Who is received within so short a time had been waiting, and others may be, too: they are looked for before anybody
#: is computed, so that priorities hold. Behind a message that was waited for there is nearly never another.
AT_ONCE_S = 50e-6
#: On a machine too slow for that, or too busy, a look is taken so often all the same. Not more often: the I/O thread
#: that has the last reply may wait for this one to sleep.
LOOK_S = 0.1
#: How often streams are looked through for idle ones, in seconds.
IDLE_LOOK_S = 5.0
#: Messages of one client that libzmq may hold in memory for us, and fewer where messages may be large. Its I/O thread
#: rests until half of them were taken: of 16 requests under way too few would be seen at once to compute 8 together.
RECEIVE_MARK = 16
LEAST_RECEIVE_MARK = 8
RECEIVE_BYTES = 8 << 20
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
    """Answers clients with the active subnet of the model that they ask.

    `bind` runs in the thread that starts things, so that its errors surface there; `run`
    in the data thread. `stop`, `statistics`, `spin`, `shed` and what `Lane` says of itself
    may be used from any thread.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        claim: Claim,
        lanes: Sequence[Lane],
        *,
        curve: CurveListener | None = None,
        limits: Limits = DEFAULT_LIMITS,
        queue_size: int = 64,
        clock: Callable[[], float] = time.monotonic,
        idle_s: float = 0.5,
    ) -> None:
        """Put a socket in front of some models.

        Args:
            context: Makes the socket.
            claim: Where to serve.
            lanes: The models; at least one, no two of one name.
            curve: Serves clients on TCP as well; None for ipc alone.
            limits: What a message may be.
            queue_size: Requests that may wait.
            clock: Monotonic, in seconds.
            idle_s: The longest wait for a message, and so for `stop`, in seconds.
        """
        self._claim = claim
        self._curve = curve
        self._clock = clock
        self._stopping = False
        self._last_progress_s = self._looked_s = self._looked_for_idle_s = clock()

        self._socket = context.socket(zmq.ROUTER)
        self._socket.router_mandatory = True
        self._socket.rcvtimeo = max(1, int(idle_s * 1e3))
        self._socket.rcvhwm = max(LEAST_RECEIVE_MARK, min(RECEIVE_MARK, RECEIVE_BYTES // limits.message_bytes))
        outputs = max(lane.model.outputs for lane in lanes)
        reply_bytes = limits.header_bytes // 64 + 4 * outputs * limits.samples
        self._socket.sndhwm = max(LEAST_SEND_MARK, min(SEND_MARK, SEND_BYTES // reply_bytes))
        self._socket.handshake_ivl = HANDSHAKE_MS
        self._socket.maxmsgsize = limits.message_bytes
        self._socket.linger = LINGER_MS

        self._elsewhere: list[Refusals] = []
        self._lanes = {lane.model.name: lane for lane in lanes}
        self._queue = RequestQueue(queue_size)
        self._waiting = Waiting(self._socket, clock)
        self._streams = Streams(clock)
        self._outbox = Outbox(self._socket)
        self._worker = Worker(queue=self._queue, outbox=self._outbox, lanes=self._lanes, clock=clock)
        self._intake = Intake(
            queue=self._queue,
            streams=self._streams,
            outbox=self._outbox,
            lanes=self._lanes,
            limits=limits,
            statistics=self.statistics,
            expire=self._worker.expire,
            clock=clock,
        )

    def spin(self, spin_us: float) -> None:
        """Stay awake for so long, in microseconds, while messages come as fast; 0 sleeps at once, as at the start."""
        self._waiting.spin_s = spin_us * 1e-6

    def shed(self, share: float | None) -> None:
        """Let in only so much work that the engine is busy for a share of the time; None lets all in, as at the start.

        What does not get in is answered UNAVAILABLE with a hint.
        """
        self._intake.shedder = None if share is None else Shedder(share, self._clock())

    def count_too(self, refusals: Refusals) -> None:
        """Let `statistics` of all models tell as well what another face refused, which it goes on to count."""
        self._elsewhere.append(refusals)

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
                counts = self._lanes[work.request.model].measurements
                self._outbox.turn_away(work, "draining", "the daemon is stopping; connect again", counts)
        finally:
            self.close()

    def close(self) -> None:
        """Close the socket. `run` does it; only a plane that never ran needs it."""
        self._socket.close()

    def stop(self) -> None:
        """Let `run` end within its idle time and `DRAIN_S`. Safe in a signal handler."""
        self._stopping = self._intake.stopping = True

    def statistics(self, model: str | None = None) -> Statistics:
        """What happened so far: to one model, or to all together."""
        if model is not None:
            measurements = self._lanes[model].measurements
            return measurements.statistics(self._queue.waiting(model), self._last_progress_s)
        each = [lane.measurements for lane in self._lanes.values()]
        refusals = (self._intake.unnamed, *self._elsewhere)
        return together(each, refusals, self._intake.received, len(self._queue), self._last_progress_s)

    def _turn(self, *, wait: bool) -> bool:
        """Take in what has come and compute what is next.

        Returns:
            False if there was nothing to do.
        """
        took = False
        if self._queue or not wait:
            took = self._look()
        elif self._last_progress_s - self._looked_s >= LOOK_S:
            self._looked_s = self._last_progress_s
            took = self._peek()
        if self._queue:
            self._worker.expire()
        elif wait:
            # A receive that blocks saves the system call and the wake-up of a poll.
            try:
                self._intake.take(self._waiting.receive())
            except zmq.Again:
                pass
            else:
                if self._clock() - self._last_progress_s < AT_ONCE_S:
                    self._peek()
        computed = self._worker.compute()
        self._last_progress_s = self._clock()
        if self._last_progress_s - self._looked_for_idle_s > IDLE_LOOK_S:
            self._looked_for_idle_s = self._last_progress_s
            self._streams.forget_idle()
            self._intake.count_streams()
        return computed or took

    def _peek(self) -> bool:
        """As `_look`, where probably nothing has come: to receive in vain would raise, at a multiple of the price."""
        return readable(self._socket) and self._look()

    def _look(self) -> bool:
        """Take in what has come already; whether anything had."""
        enough = self._intake.turned_away + REFUSE_LIMIT
        for taken in range(TAKE_LIMIT):
            if self._intake.turned_away >= enough:
                return True
            # One receive that fails ends the look; to ask first would cost a quarter of a receive for every message.
            try:
                parts = receive(self._socket, wait=False)
            except zmq.Again:
                return taken > 0
            self._intake.take(parts)
        return True
