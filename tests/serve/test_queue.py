"""The queue: order, bounds, deadlines, cancelling."""

from __future__ import annotations

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from adaspring.serve.protocol import InferRequest
from adaspring.serve.queue import RequestQueue, Work


def request(
    request_id: str = "", *, timeout_us: int | None = None, priority: int = 5, samples: int = 1
) -> InferRequest:
    """A request of which only the number of samples matters."""
    return InferRequest(request_id, np.zeros((samples, 1), np.float32), timeout_us, priority)


def ids(works: list[Work]) -> list[str]:
    """Ids, in their order."""
    return [work.request.id for work in works]


def drain(queue: RequestQueue) -> list[str]:
    """Ids in the order in which they leave."""
    return ids([work for works in iter(queue.pop, []) for work in works])


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
    assert sorted((work.envelope, work.request.id) for works in iter(queue.pop, []) for work in works) == [
        ([b"a"], "2"),
        ([b"a"], "3"),
        ([b"b"], "1"),
    ]


def test_clear_takes_everything() -> None:
    """What waited is handed out, and nothing waits any more."""
    queue = RequestQueue(2)
    queue.push([b"client"], request("1", timeout_us=1), 0.0)
    assert ids(queue.clear()) == ["1"]
    assert (0, []) == (len(queue), queue.expire(1.0))


def test_hint_is_the_time_that_those_who_wait_will_take() -> None:
    """The hint follows the measured service time of each model, and is never zero."""
    queue = RequestQueue(21)
    assert queue.retry_after_ms() == 1
    for _ in range(100):
        queue.served("", 0.003)
        queue.served("slow", 0.1)
    for _ in range(20):
        queue.push([b"client"], request(), 0.0)
    assert queue.retry_after_ms() == 60
    queue.push([b"client"], msgspec.structs.replace(request(), model="slow"), 0.0)
    assert queue.retry_after_ms() == 160
    assert (0.1, 1, 20) == (queue.service_s("slow"), queue.waiting("slow"), queue.waiting(""))


def test_a_flooding_client_waits_for_itself() -> None:
    """Whoever comes with one request at a time is served in every other turn, however many another has waiting."""
    queue = RequestQueue(100)
    for index in range(60):
        queue.push([b"flood"], request(str(index)), 0.0)
    served: list[bytes] = []
    for _ in range(20):
        if not any(work == b"calm" for work in served[-1:]):
            queue.push([b"calm"], request(), 0.0)
        served += [work.envelope[0] for work in queue.pop()]
    assert 10 == served.count(b"calm")


@given(st.lists(st.sampled_from([1, 1, 2, 8, 64]), min_size=2, max_size=4))
def test_clients_that_always_wait_share_by_samples(sizes: list[int]) -> None:
    """Whatever the size of their requests, none gets ahead of another by more than a request of each."""
    queue = RequestQueue(100)
    names = [bytes([index]) for index in range(len(sizes))]
    for name, size in zip(names, sizes, strict=True):
        for _ in range(2):
            queue.push([name], request(samples=size), 0.0)
    shares = dict.fromkeys(names, 0)
    while sum(shares.values()) < 2000:
        for work in queue.pop():
            shares[work.envelope[0]] += work.request.samples
            queue.push(work.envelope, work.request, 0.0)
    assert max(shares.values()) - min(shares.values()) <= 2 * max(sizes)


@given(st.lists(st.tuples(st.sampled_from([b"a", b"b", b"c"]), st.integers(1, 9), st.integers(1, 3)), max_size=40))
def test_requests_of_one_client_and_priority_keep_their_order(sent: list[tuple[bytes, int, int]]) -> None:
    """Also after some were cancelled."""
    queue = RequestQueue(100)
    for index, (name, priority, samples) in enumerate(sent):
        queue.push([name], request(f"{index % 7}/{index}", priority=priority, samples=samples), 0.0)
        if index % 5 == 4:
            queue.cancel(name, f"{(index - 2) % 7}/{index - 2}")
    left: dict[tuple[bytes, int], list[int]] = {}
    while works := queue.pop():
        for work in works:
            index = int(work.request.id.split("/")[1])
            left.setdefault((work.envelope[0], work.priority), []).append(index)
    assert all(order == sorted(order) for order in left.values())


def test_full_queue_makes_room_at_the_cost_of_whoever_fills_it() -> None:
    """Its last request goes; a client that has as much as any other is turned away itself."""
    queue = RequestQueue(4)
    for index in range(3):
        queue.push([b"flood"], request(str(index)), 0.0)
    queue.push([b"calm"], request("calm"), 0.0)
    turned_away = queue.make_room(b"new")
    assert turned_away is not None
    assert (b"flood", "2", 3) == (turned_away.envelope[0], turned_away.request.id, len(queue))
    queue.push([b"new"], request("new"), 0.0)
    assert [None, None] == [queue.make_room(b"flood"), queue.make_room(b"calm")]
    assert {"0", "1", "calm", "new"} == set(drain(queue))


def test_who_cancels_has_not_had_its_turn() -> None:
    """The requests behind a cancelled one move up."""
    queue = RequestQueue(100)
    for index in range(50):
        queue.push([b"a"], request(f"a{index}"), 0.0)
    for index in range(49):
        queue.cancel(b"a", f"a{index}")
    for index in range(3):
        queue.push([b"b"], request(f"b{index}"), 0.0)
    assert ["a49", "b0", "b1", "b2"] == drain(queue)


def test_clients_are_forgotten() -> None:
    """Memory follows the queue and not all who ever came."""
    queue = RequestQueue(3)
    queue.push([b"first"], request(), 0.0)
    queue.push([b"first"], request(), 0.0)
    for index in range(1000):
        queue.push([b"%d" % index], request(priority=1), 0.0)
        queue.pop()
    assert len(queue._clients) <= 4 * queue.capacity + 1


def test_a_batch_holds_what_is_next_as_far_as_is_allowed() -> None:
    """In the order of the queue, to the largest allowed size; larger requests are computed alone."""
    queue = RequestQueue(20)
    for index in range(7):
        queue.push([b"a"], request(str(index), timeout_us=1000 + index), 0.0)
    queue.push([b"a"], request("many", samples=2), 0.0)
    asked: list[tuple[int, float]] = []

    def fits(size: int, deadline_s: float) -> bool:
        asked.append((size, deadline_s))
        return size in {2, 4}

    assert ["0", "1", "2", "3"] == ids(queue.pop(8, fits))
    assert (8 - 1, {0.001}) == (asked[-1][0], {deadline_s for _, deadline_s in asked})
    assert ["4", "5"] == ids(queue.pop(8, fits))
    assert ["6"] == ids(queue.pop(8, fits))
    assert ["many"] == ids(queue.pop(8, fits))
    assert [] == queue.pop(8, fits)
