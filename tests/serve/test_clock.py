"""A clock that jumps: a board that slept, or one whose clock was set."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from adaspring.serve import protocol

if TYPE_CHECKING:
    from tests.conftest import RunningPlane, ToySubnet
    from tests.serve.conftest import RawClient

X = np.ones((1, 2, 3), dtype=np.float32)


def test_requests_are_answered_across_jumps_of_the_clock(
    serve_toy: Callable[..., RunningPlane], raw_client: Callable[..., RawClient], toy_subnet: type[ToySubnet]
) -> None:
    """An hour forward, then two back: what waited is answered, and so is what comes after, with a deadline too."""
    jumped_s = 0.0
    held = toy_subnet(held=True)
    plane = serve_toy(held, clock=lambda: time.monotonic() + jumped_s)
    client = raw_client(plane.endpoint)
    for jump_s in (3600.0, -7200.0):
        client.send(protocol.encode_infer("running", "toy", "x", X))
        assert held.started.acquire(timeout=10)
        client.send(protocol.encode_infer("waiting", "toy", "x", X))
        jumped_s += jump_s
        held.permits.release(2)
        assert [(b"OK", "running"), (b"OK", "waiting")] == [
            (reply.type, reply.header["id"]) for reply in (client.receive(), client.receive())
        ]
        assert held.started.acquire(timeout=10)
        held.permits.release()
        assert b"OK" == client.ask(protocol.encode_infer("new", "toy", "x", X, timeout_us=60_000_000)).type
        assert held.started.acquire(timeout=10)
