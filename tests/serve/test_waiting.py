"""Waiting awake or asleep."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import zmq

from adaspring.serve.waiting import Waiting


class Clock:
    """A clock that goes on by a step each time it is looked at, and counts the looks."""

    def __init__(self, step_s: float) -> None:
        """Start at zero."""
        self.step_s = step_s
        self.looks = 0

    def __call__(self) -> float:
        """The time."""
        self.looks += 1
        return self.looks * self.step_s


@pytest.fixture
def pair() -> Iterator[tuple[zmq.Socket[bytes], zmq.Socket[bytes]]]:
    """Two sockets that are connected."""
    with zmq.Context() as context, context.socket(zmq.PAIR) as here, context.socket(zmq.PAIR) as there:
        here.rcvtimeo = 20
        here.bind("inproc://pair")
        there.connect("inproc://pair")
        yield here, there


def looks(waiting: Waiting, clock: Clock, there: zmq.Socket[bytes] | None) -> int:
    """How often the clock was looked at for a message, or for none where nobody sends."""
    before = clock.looks
    if there is not None:
        there.send(b"x")
        waiting.receive()
    else:
        with pytest.raises(zmq.Again):
            waiting.receive()
    return clock.looks - before


def test_it_stays_awake_only_while_messages_come_fast(pair: tuple[zmq.Socket[bytes], zmq.Socket[bytes]]) -> None:
    """After fast ones it looks again and again before it sleeps, and after silence not any more."""
    here, there = pair
    clock = Clock(1e-6)
    waiting = Waiting(here, clock)
    waiting.spin_s = 100e-6
    assert looks(waiting, clock, None) == 2
    for _ in range(200):
        looks(waiting, clock, there)
    assert looks(waiting, clock, None) > 50
    clock.step_s = 1.0
    for _ in range(3):
        looks(waiting, clock, None)
    assert looks(waiting, clock, None) == 2


def test_it_sleeps_at_once_unless_it_is_told_otherwise(pair: tuple[zmq.Socket[bytes], zmq.Socket[bytes]]) -> None:
    """However fast messages come; it does not even look at the clock."""
    here, there = pair
    clock = Clock(1e-6)
    waiting = Waiting(here, clock)
    for _ in range(100):
        looks(waiting, clock, there)
    assert clock.looks == 0
