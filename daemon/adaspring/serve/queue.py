"""Requests that wait for the subnet: by priority, in fair turns of clients, bounded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from heapq import heapify, heappop, heappush
from math import ceil, inf
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from adaspring.serve.protocol import InferRequest

#: Weight of the newest measurement in the smoothed service time.
_SMOOTHING = 0.1
#: Clients remembered for each place in the queue, before those who wait for nothing are forgotten.
_REMEMBERED = 4


class Window(NamedTuple):
    """Which window of its stream a request is; see `protocol.ReplyParameters`."""

    sequence: int
    first_sample: int
    gap: int


class Work(msgspec.Struct, frozen=True, order=True, gc=False):
    """A request in the queue. Its order is that of its first three fields.

    Attributes:
        priority: 1 is the highest.
        turn: How many samples each client may have had before this one is due.
        arrival: Counts requests in the order of their arrival.
        envelope: Frames that go before the reply; the first is the client's identity.
        request: What to compute.
        arrived_s: When it arrived, in seconds.
        deadline_s: When nobody wants the answer any more, in seconds; infinite for never.
        window: Where it comes from a stream.
    """

    priority: int
    turn: int
    arrival: int
    envelope: list[bytes]
    request: InferRequest
    arrived_s: float
    deadline_s: float
    window: Window | None = None


class _Client:
    """What one client has in the queue.

    Attributes:
        waiting: Its requests that wait.
        turn: The turn of its next request.
    """

    __slots__ = ("turn", "waiting")

    def __init__(self, turn: int) -> None:
        self.waiting = 0
        self.turn = turn


class RequestQueue:
    """Bounded; the highest priority leaves first, within it clients take turns, each oldest first.

    The turns are those of start-time fair queuing (Goyal, Vin, Cheng: SIGCOMM 1996): a
    client's next request is due where its last one ends, in samples, and not before those
    that are being served now. So who floods the queue waits for itself and for nobody else.
    A full queue makes room by turning away the last request of whoever fills it.

    One thread uses it.
    """

    def __init__(self, capacity: int) -> None:
        """Make room for `capacity` requests."""
        self.capacity = capacity
        self._heap: list[Work] = []
        self._clients: dict[bytes, _Client] = {}
        self._turn = 0
        self._arrivals = 0
        self._earliest_deadline_s = inf
        self._service_s: dict[str, float] = {}

    def __len__(self) -> int:
        """Requests that wait."""
        return len(self._heap)

    @property
    def full(self) -> bool:
        """Whether `push` must not be called."""
        return len(self._heap) >= self.capacity

    @property
    def next_model(self) -> str:
        """The model of the request that leaves next; one must wait."""
        return self._heap[0].request.model

    def waiting(self, model: str) -> int:
        """Requests of a model that wait; another thread may ask, too."""
        return sum(work.request.model == model for work in self._heap.copy())

    def push(self, envelope: list[bytes], request: InferRequest, now_s: float, window: Window | None = None) -> None:
        """Let a request wait. The queue must not be full."""
        deadline_s = inf
        if request.timeout_us is not None:
            deadline_s = now_s + request.timeout_us * 1e-6
            self._earliest_deadline_s = min(self._earliest_deadline_s, deadline_s)
        client = self._clients.get(envelope[0])
        if client is None:
            client = self._clients[envelope[0]] = _Client(self._turn)
        turn = max(self._turn, client.turn)
        client.turn = turn + request.samples
        client.waiting += 1
        self._arrivals += 1
        work = Work(request.priority, turn, self._arrivals, envelope, request, now_s, deadline_s, window)
        heappush(self._heap, work)

    def pop(self, largest: int = 1, fits: Callable[[int, float], bool] | None = None) -> list[Work]:
        """The requests to compute next, in their order; none if none waits.

        Args:
            largest: Requests of one sample, all of one model, that may leave together.
            fits: Whether so many may, the earliest of their deadlines given in seconds. It
                is asked with more and more of them; what it does not allow goes on waiting.
        """
        if not self._heap:
            return []
        if len(self._heap) == 1:
            return [self._pop_last()]
        taken = [heappop(self._heap)]
        if largest > 1 and fits is not None and taken[0].request.samples == 1:
            self._join(taken, largest, fits)
        for work in taken:
            self._clients[work.envelope[0]].waiting -= 1
        self._turn = max(self._turn, taken[-1].turn)
        if not self._heap:
            self._clients.clear()
        elif len(self._clients) > _REMEMBERED * self.capacity:
            self._clients = {name: client for name, client in self._clients.items() if client.waiting}
        return taken

    def make_room(self, client: bytes) -> Work | None:
        """Turn somebody else's request away, so that one of a client can wait.

        Returns:
            The last request of whoever has most in the queue; None if that is the client
            itself, or would be.
        """
        greedy = max(self._clients, key=lambda name: self._clients[name].waiting)
        own = self._clients.get(client)
        if self._clients[greedy].waiting <= (own.waiting if own else 0) + 1:
            return None
        last = max(work for work in self._heap if work.envelope[0] == greedy)
        self._keep(work for work in self._heap if work is not last)
        return last

    def expire(self, now_s: float) -> list[Work]:
        """Take out the requests whose deadline has passed."""
        if now_s <= self._earliest_deadline_s:
            return []
        return self._take(lambda work: work.deadline_s < now_s)

    def cancel(self, client: bytes, request_id: str) -> list[Work]:
        """Take out what a client sent under an id."""
        return self._take(lambda work: work.envelope[0] == client and work.request.id == request_id)

    def clear(self) -> list[Work]:
        """Take out everything."""
        return self._take(lambda _: True)

    def service_s(self, model: str) -> float:
        """Smoothed time that a request of a model takes, in seconds; 0 before the first."""
        return self._service_s.get(model, 0.0)

    def served(self, model: str, service_s: float, requests: int = 1) -> None:
        """Learn how long requests of a model took to compute and answer together, in seconds."""
        each_s = service_s / requests
        previous = self._service_s.get(model, each_s)
        self._service_s[model] = previous + _SMOOTHING * (each_s - previous)

    def retry_after_ms(self) -> int:
        """When those who wait now will be served, in milliseconds: the hint for who is turned away."""
        waiting = Counter(work.request.model for work in self._heap)
        return max(1, ceil(sum(count * self.service_s(model) for model, count in waiting.items()) * 1e3))

    def _pop_last(self) -> Work:
        """The only one that waits, as nearly always: no turns have to be kept behind it."""
        work = self._heap.pop()
        self._turn = max(self._turn, work.turn)
        self._clients.clear()
        return work

    def _join(self, taken: list[Work], largest: int, fits: Callable[[int, float], bool]) -> None:
        """Add requests of one sample to the first, as far as that is allowed."""
        earliest_s, allowed, model = taken[0].deadline_s, 1, taken[0].request.model
        while len(taken) < largest and self._heap and self._heap[0].request.joins(model):
            taken.append(heappop(self._heap))
            earliest_s = min(earliest_s, taken[-1].deadline_s)
            if fits(len(taken), earliest_s):
                allowed = len(taken)
        for work in taken[allowed:]:
            heappush(self._heap, work)
        del taken[allowed:]

    def _take(self, leaves: Callable[[Work], bool]) -> list[Work]:
        taken = [work for work in self._heap if leaves(work)]
        self._keep(work for work in self._heap if not leaves(work))
        return taken

    def _keep(self, works: Iterable[Work]) -> None:
        """Go on with these requests, in the turns that they had had without the others."""
        for work in sorted(self._heap, key=lambda work: work.arrival, reverse=True):
            client = self._clients[work.envelope[0]]
            client.turn, client.waiting = work.turn, 0
        kept = []
        for work in sorted(works, key=lambda work: work.arrival):
            client = self._clients[work.envelope[0]]
            kept.append(replace(work, turn=client.turn))
            client.turn += work.request.samples
            client.waiting += 1
        heapify(kept)
        self._heap = kept
        self._earliest_deadline_s = min((work.deadline_s for work in kept), default=inf)
