"""Requests that wait for the subnet."""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from math import ceil, inf
from typing import NamedTuple

from adaspring.serve.protocol import InferRequest

#: Weight of the newest measurement in the smoothed service time.
_SMOOTHING = 0.1


class Work(NamedTuple):
    """A request in the queue. Its order is that of its first two fields.

    Attributes:
        priority: 1 is the highest.
        arrival: Counts requests in the order of their arrival.
        envelope: Frames that go before the reply; the first is the client's identity.
        request: What to compute.
        arrived_s: When it arrived, in seconds.
        deadline_s: When nobody wants the answer any more, in seconds; infinite for never.
    """

    priority: int
    arrival: int
    envelope: list[bytes]
    request: InferRequest
    arrived_s: float
    deadline_s: float


class RequestQueue:
    """Bounded; the highest priority leaves first, within it the oldest.

    One thread uses it.
    """

    def __init__(self, capacity: int) -> None:
        """Make room for `capacity` requests."""
        self.capacity = capacity
        self._heap: list[Work] = []
        self._arrivals = 0
        self._earliest_deadline_s = inf
        self._service_s = 0.0

    def __len__(self) -> int:
        """Requests that wait."""
        return len(self._heap)

    @property
    def full(self) -> bool:
        """Whether `push` must not be called."""
        return len(self._heap) >= self.capacity

    def push(self, envelope: list[bytes], request: InferRequest, now_s: float) -> None:
        """Let a request wait. The queue must not be full."""
        deadline_s = inf if request.timeout_us is None else now_s + request.timeout_us * 1e-6
        self._earliest_deadline_s = min(self._earliest_deadline_s, deadline_s)
        self._arrivals += 1
        heappush(self._heap, Work(request.priority, self._arrivals, envelope, request, now_s, deadline_s))

    def pop(self) -> Work | None:
        """The request to compute next; None if none waits."""
        return heappop(self._heap) if self._heap else None

    def expire(self, now_s: float) -> list[Work]:
        """Take out the requests whose deadline has passed."""
        if now_s <= self._earliest_deadline_s:
            return []
        expired = [work for work in self._heap if work.deadline_s < now_s]
        self._keep([work for work in self._heap if work.deadline_s >= now_s])
        return expired

    def cancel(self, client: bytes, request_id: str) -> list[Work]:
        """Take out what a client sent under an id."""

        def matches(work: Work) -> bool:
            return work.envelope[0] == client and work.request.id == request_id

        cancelled = [work for work in self._heap if matches(work)]
        if cancelled:
            self._keep([work for work in self._heap if not matches(work)])
        return cancelled

    def clear(self) -> list[Work]:
        """Take out everything."""
        left = self._heap
        self._keep([])
        return left

    def served(self, service_s: float) -> None:
        """Learn how long a request took to compute and answer, in seconds."""
        previous = self._service_s or service_s
        self._service_s = previous + _SMOOTHING * (service_s - previous)

    def retry_after_ms(self) -> int:
        """When those who wait now will be served, in milliseconds: the hint for who is turned away."""
        return max(1, ceil(len(self._heap) * self._service_s * 1e3))

    def _keep(self, works: list[Work]) -> None:
        heapify(works)
        self._heap = works
        self._earliest_deadline_s = min((work.deadline_s for work in works), default=inf)
