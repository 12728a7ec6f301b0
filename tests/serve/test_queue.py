"""The queue: order, bounds, deadlines, cancelling."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from adaspring.serve.protocol import InferRequest
from adaspring.serve.queue import RequestQueue, Work


def request(request_id: str = "", *, timeout_us: int | None = None, priority: int = 5) -> InferRequest:
    """A request whose batch does not matter."""
    return InferRequest(request_id, np.zeros((1, 1), np.float32), timeout_us, priority)


def ids(works: list[Work]) -> list[str]:
    """Ids, in their order."""
    return [work.request.id for work in works]


def drain(queue: RequestQueue) -> list[str]:
    """Ids in the order in which they leave."""
    return ids(list(iter(queue.pop, None)))


@given(st.lists(st.integers(1, 9), max_size=50))
def test_highest_priority_leaves_first_then_the_oldest(priorities: list[int]) -> None:
    """The order is a stable sort by priority."""
    queue = RequestQueue(50)
    for index, priority in enumerate(priorities):
        queue.push([b"client"], request(str(index), priority=priority), 0.0)
    expected = sorted(range(len(priorities)), key=lambda index: priorities[index])
    assert [str(index) for index in expected] == drain(queue)


def test_full_queue_says_so() -> None:
    """It is full at its capacity and not before."""
    queue = RequestQueue(2)
    queue.push([b"client"], request(), 0.0)
    assert not queue.full
    queue.push([b"client"], request(), 0.0)
    assert (True, 2) == (queue.full, len(queue))


@given(
    st.lists(st.tuples(st.integers(1, 9), st.none() | st.integers(1, 100)), max_size=30),
    st.lists(st.integers(0, 120), max_size=5).map(sorted),
)
def test_expired_requests_leave_and_no_others(requests: list[tuple[int, int | None]], times_us: list[int]) -> None:
    """After each look at the clock exactly the requests whose time is not over remain, in order."""
    queue = RequestQueue(30)
    for index, (priority, timeout_us) in enumerate(requests):
        queue.push([b"client"], request(str(index), timeout_us=timeout_us, priority=priority), 0.0)
    left = set(range(len(requests)))
    for time_us in times_us:
        gone = {index for index in left if (requests[index][1] or 1000) * 1e-6 < time_us * 1e-6}
        assert {str(index) for index in gone} == set(ids(queue.expire(time_us * 1e-6)))
        left -= gone
    expected = sorted(left, key=lambda index: (requests[index][0], index))
    assert [str(index) for index in expected] == drain(queue)


def test_deadline_counts_from_arrival() -> None:
    """A request that came later expires later."""
    queue = RequestQueue(2)
    queue.push([b"client"], request("early", timeout_us=1000), 10.0)
    queue.push([b"client"], request("late", timeout_us=1000), 10.0005)
    assert ids(queue.expire(10.0009)) == []
    assert ids(queue.expire(10.0012)) == ["early"]
    assert ids(queue.expire(10.0016)) == ["late"]


def test_cancel_takes_what_this_client_sent_under_this_id() -> None:
    """Another client's request of the same id stays, and so does the order."""
    queue = RequestQueue(4)
    for client, request_id in ((b"a", "1"), (b"b", "1"), (b"a", "2"), (b"a", "3")):
        queue.push([client], request(request_id), 0.0)
    assert ids(queue.cancel(b"a", "1")) == ["1"]
    assert ids(queue.cancel(b"a", "1")) == []
    assert [(work.envelope, work.request.id) for work in iter(queue.pop, None)] == [
        ([b"b"], "1"),
        ([b"a"], "2"),
        ([b"a"], "3"),
    ]


def test_clear_takes_everything() -> None:
    """What waited is handed out, and nothing waits any more."""
    queue = RequestQueue(2)
    queue.push([b"client"], request("1", timeout_us=1), 0.0)
    assert ids(queue.clear()) == ["1"]
    assert (0, []) == (len(queue), queue.expire(1.0))


def test_hint_is_the_time_that_those_who_wait_will_take() -> None:
    """The hint follows the measured service time, and is never zero."""
    queue = RequestQueue(20)
    assert queue.retry_after_ms() == 1
    for _ in range(100):
        queue.served(0.003)
    for _ in range(20):
        queue.push([b"client"], request(), 0.0)
    assert queue.retry_after_ms() == 60
