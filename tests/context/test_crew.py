from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable
from functools import partial
from math import inf

from adaspring.context.crew import Crew, _Round

LONG_S = 30.0


def wait_until(holds: Callable[[], bool]) -> None:
    """Wait for a condition, generously."""
    until_s = time.monotonic() + LONG_S
    while not holds():
        assert time.monotonic() < until_s
        time.sleep(0.005)


def test_jobs_run_in_order_in_one_thread_that_stays() -> None:
    """What does not hang shares one thread, tick after tick."""
    crew = Crew(LONG_S)
    seen: list[tuple[int, int]] = []
    for _ in range(3):
        assert [] == crew.run([partial(lambda n: seen.append((n, threading.get_ident())), n) for n in range(4)])
    assert [0, 1, 2, 3] * 3 == [number for number, _ in seen]
    assert len({thread for _, thread in seen}) == 1
    assert threading.get_ident() not in {thread for _, thread in seen}


def test_a_job_that_hangs_is_left_behind_and_the_others_run() -> None:
    """The caller gets on after the deadline, the jobs behind the one that hangs are done, and it ends later."""
    crew = Crew(1.0)
    held, done = threading.Event(), []

    def hang() -> None:
        held.wait(LONG_S)
        done.append("hang")

    jobs: list[Callable[[], None]] = [partial(done.append, "before"), hang, partial(done.append, "after")]
    assert [hang] == crew.run(jobs)
    assert ["before", "after"] == done
    assert [] == crew.run([partial(done.append, "next")])
    assert ["before", "after", "next"] == done
    held.set()
    wait_until(lambda: "hang" in done)


def test_several_jobs_may_hang_at_once() -> None:
    """Each is left behind in its own thread, and none is begun twice."""
    crew = Crew(1.0)
    held, begun = threading.Event(), []

    def hang(name: str) -> None:
        begun.append(name)
        held.wait(LONG_S)

    jobs: list[Callable[[], None]] = [partial(hang, "one"), partial(hang, "two"), partial(begun.append, "three")]
    assert jobs[:2] == crew.run(jobs)
    assert ["one", "two", "three"] == begun
    held.set()


def test_a_thread_that_comes_late_still_does_what_was_given_up_on() -> None:
    """On a busy machine the caller may give up before the thread has begun; the job is not lost for that."""
    done: list[str] = []
    current = _Round([partial(done.append, "first"), partial(done.append, "second")])
    assert current.wait(0.0) == 0
    assert current.work() is False
    assert ["first"] == done


def test_a_detached_job_holds_nobody() -> None:
    """What is known to be slow runs by itself."""
    held, ended = threading.Event(), threading.Event()

    def slow() -> None:
        held.wait(LONG_S)
        ended.set()

    Crew.detach(slow)
    assert not ended.is_set()
    held.set()
    assert ended.wait(LONG_S)


def test_threads_end_with_their_crew() -> None:
    """A monitor that is dropped leaves no thread behind, not even behind a job that had hung."""
    before = threading.active_count()
    held = threading.Event()
    crew = Crew(0.05)

    def hang() -> None:
        held.wait(LONG_S)

    crew.run([hang, lambda: None])
    assert threading.active_count() > before
    held.set()
    del crew
    gc.collect()
    wait_until(lambda: threading.active_count() <= before)


def test_where_nothing_can_hang_no_thread_is_needed() -> None:
    """Without a deadline jobs run one after the other in the thread of the caller."""
    threads: list[threading.Thread] = []
    assert Crew(inf).run([lambda: threads.append(threading.current_thread())] * 3) == []
    assert threads == [threading.current_thread()] * 3
