"""The subscriber against a real publisher."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import zmq

from adaspring.client import EventSubscriber
from adaspring.errors import ConnectError
from adaspring.serve.endpoint import DATA_MODE, claim
from adaspring.serve.events import EventPublisher


@contextmanager
def publishing(endpoint: str) -> Iterator[None]:
    """A daemon that tells of an evolution and a context every few milliseconds."""
    with claim(endpoint, mode=DATA_MODE) as claimed, zmq.Context() as context:
        publisher = EventPublisher(context, claimed)
        stop = threading.Event()

        def publish() -> None:
            while not stop.wait(0.005):
                publisher.publish("evolution", {"cause": "heat"})
                publisher.publish("context", {"temperature_c": 61.5})

        thread = threading.Thread(target=publish)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(5)
            publisher.close()


def test_events_come_in_order_without_gaps(socket_folder: Path) -> None:
    """A subscriber that keeps up sees every event of its topics."""
    endpoint = f"ipc://{socket_folder}/events.sock"
    with publishing(endpoint), EventSubscriber(endpoint, topics=("context",), timeout_s=5) as subscriber:
        events = [event for event, _ in zip(subscriber, range(5), strict=False)]
    assert {"context"} == {event.topic for event in events}
    assert [{"temperature_c": 61.5}] * 5 == [event.data for event in events]
    assert list(range(events[0].sequence, events[0].sequence + 5)) == [event.sequence for event in events]


def test_iteration_ends_when_nothing_comes(socket_folder: Path) -> None:
    """Silence is no error: the daemon may have nothing to tell, or may not be there."""
    with EventSubscriber(f"ipc://{socket_folder}/events.sock", timeout_s=0.01) as subscriber:
        assert list(subscriber) == []
        assert subscriber.receive(0.01) is None


def test_subscriber_outlives_a_restart(socket_folder: Path) -> None:
    """Events come again when the daemon does."""
    endpoint = f"ipc://{socket_folder}/events.sock"
    with EventSubscriber(endpoint) as subscriber:
        for _ in range(2):
            with publishing(endpoint):
                assert subscriber.receive(5) is not None
            while subscriber.receive(0.02) is not None:
                pass


def test_endpoint_that_is_none_is_refused_at_once() -> None:
    """A mistyped address is not waited for."""
    with pytest.raises(ConnectError):
        EventSubscriber("events.sock")
