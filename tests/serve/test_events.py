"""The event socket."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pytest
import zmq

from adaspring.errors import ConfigError
from adaspring.serve.endpoint import DATA_MODE, claim
from adaspring.serve.events import EventPublisher
from adaspring.serve.protocol import decode_event

if TYPE_CHECKING:
    from tests.serve.conftest import RawClient

Connect: TypeAlias = "Callable[..., RawClient]"

NOON = datetime(2024, 5, 1, 12, 0, tzinfo=timezone.utc)


@pytest.fixture
def endpoint(socket_folder: Path) -> str:
    """Where events are published."""
    return f"ipc://{socket_folder}/events.sock"


@pytest.fixture
def publisher(endpoint: str) -> Iterator[EventPublisher]:
    """A publisher at noon."""
    with claim(endpoint, mode=DATA_MODE) as claimed, zmq.Context() as context:
        made = EventPublisher(context, claimed, wall_clock=lambda: NOON)
        yield made
        made.close()


def test_bind_that_fails_closes_the_publisher(socket_folder: Path) -> None:
    """The error surfaces where the publisher is made, and nothing is left open."""
    folder = socket_folder / "gone"
    with zmq.Context() as context, claim(f"ipc://{folder}/events.sock", mode=DATA_MODE) as claimed:
        shutil.rmtree(folder)
        with pytest.raises(ConfigError, match="cannot bind"):
            EventPublisher(context, claimed)


def test_events_arrive_numbered_within_their_topic(
    publisher: EventPublisher, endpoint: str, raw_client: Connect
) -> None:
    """A subscriber to one topic can tell whether it missed any of them."""
    client = raw_client(endpoint, zmq.SUB)
    client.socket.subscribe("evolution")
    missed = 0
    while not client.socket.poll(20):
        missed = publisher.publish("evolution", {"cause": "heat"})
    event = decode_event(client.socket.recv_multipart())
    assert event.topic == "evolution"
    assert event.sequence <= missed
    assert event.at == NOON
    assert event.data == {"cause": "heat"}
    publisher.publish("context", {})
    following = publisher.publish("evolution", {"cause": "cold"})
    while event.sequence < following:
        event = decode_event(client.socket.recv_multipart())
    assert event.data == {"cause": "cold"}


def test_body_is_plain_json(publisher: EventPublisher, endpoint: str, raw_client: Connect) -> None:
    """The frames are what the document says, for readers in any language."""
    client = raw_client(endpoint, zmq.SUB)
    client.socket.subscribe("")
    sequence = 0
    while not client.socket.poll(20):
        sequence = publisher.publish("throttle", {"on": True})
    frames = client.socket.recv_multipart()
    assert frames == [b"throttle", b'{"sequence":%d,"at":"2024-05-01T12:00:00Z","data":{"on":true}}' % sequence]


def test_subscriber_that_does_not_read_holds_nobody_up(
    publisher: EventPublisher, endpoint: str, raw_client: Connect
) -> None:
    """Publishing goes on at once; the slow subscriber misses events."""
    client = raw_client(endpoint, zmq.SUB, rcvhwm=1, rcvbuf=4096)
    client.socket.subscribe("")
    while not client.socket.poll(20):
        publisher.publish("reject", {})
    for _ in range(3000):
        last = publisher.publish("reject", {"text": "x" * 1000})
    received = 0
    while client.socket.poll(50):
        client.socket.recv_multipart()
        received += 1
    assert received < last
