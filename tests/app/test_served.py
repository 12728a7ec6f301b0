from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from adaspring.app.counters import AllFrames
from adaspring.app.served import FrameSenses
from adaspring.context.model import Context


def counters(**counted: Any) -> Any:
    """Counters of a model whose frames the test makes up."""
    return SimpleNamespace(**{"received": 0, "latency_p95_us": None, "queue_depth": 0, "deadline_us": None, **counted})


def test_a_model_sees_its_own_frames_on_the_device_of_all() -> None:
    """Rate, latency, queue and deadline are the model's; what sensors tell is the device's; reasons follow both."""
    own = counters()
    senses = FrameSenses(own)
    device: dict[str, Any] = {"battery_percent": 40.0, "event_rate_hz": 500.0, "queue_depth": 9.0}
    reasons = {"temperature_c": "there is no thermal zone"}
    first = senses.seen(Context(at_s=0.0, **device, reasons=reasons))
    assert (40.0, None) == (first.battery_percent, first.event_rate_hz)
    assert {"temperature_c", "event_rate_hz", "latency_p95_us", "deadline_us"} == set(first.reasons)
    own.received, own.latency_p95_us, own.queue_depth, own.deadline_us = 1000, 250.0, 2, 4e3
    later = senses.seen(Context(at_s=100.0, **device, reasons=reasons))
    assert later.event_rate_hz == pytest.approx(10.0)
    assert (250.0, 4e3) == (later.latency_p95_us, later.deadline_us)
    assert 0 < (later.queue_depth or 0.0) <= 2
    assert reasons == later.reasons


def test_all_frames_are_those_of_every_model() -> None:
    """Counts add up; times of different models say nothing together."""
    frames = AllFrames([counters(received=3, queue_depth=1), counters(received=4, queue_depth=2)])
    assert (7, 3, None, None) == (frames.received, frames.queue_depth, frames.latency_p95_us, frames.deadline_us)
