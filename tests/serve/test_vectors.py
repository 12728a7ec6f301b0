"""The golden vectors: bytes that any implementation of OIP/Z 1 must write and read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pytest

from adaspring.app.signature import raw_input
from adaspring.features import InertialSpec, build_pipeline
from adaspring.serve import protocol
from adaspring.serve.protocol import ModelSignature, RawInput, ReplyParameters

if TYPE_CHECKING:
    from tests.conftest import RunningPlane
    from tests.serve.conftest import RawClient

ServeToy: TypeAlias = "Callable[..., RunningPlane]"
Connect: TypeAlias = "Callable[..., RawClient]"

MODEL = ModelSignature("toy", "1", "x", (2, 3), "logits", 3, ("low", "middle", "high"))
RAW = RawInput("inertial", "FP32", (16, 6), ("a",), 50.0, 1)
X = np.array([[[1, -2, 0.5], [0, 0, 0]]], np.float32)
OUTPUTS = X[:, 0]


def vectors() -> dict[str, list[bytes]]:
    """Frames by the name of their message."""
    text = (Path(__file__).resolve().parent.parent / "vectors" / "oipz1.txt").read_text(encoding="utf-8")
    messages: dict[str, list[bytes]] = {}
    for line in text.splitlines():
        if line.startswith(("request", "reply")):
            frames = messages[line] = []
        elif line and not line.startswith("#"):
            frames.append(bytes.fromhex(line))
    return messages


def ours() -> dict[str, list[bytes]]:
    """The same messages as this implementation writes them."""
    facts = ReplyParameters("toy-1", 3, 41, 118)
    return {
        "request INFER": protocol.encode_infer("7", "toy", "x", X, timeout_us=50000, priority=1),
        "request INFER half precision batch": protocol.encode_infer(
            "8", "toy", "x", np.concatenate([X, 2 * X]).astype(np.float16)
        ),
        "request LIVE": protocol.encode_query(protocol.LIVE, "1"),
        "request READY": protocol.encode_query(protocol.READY, "2", model_name="toy"),
        "request META": protocol.encode_query(protocol.META, "3"),
        "request STATS": protocol.encode_query(protocol.STATS, "4"),
        "request CANCEL": protocol.encode_query(protocol.CANCEL, "5", cancel_id="7"),
        "request OPEN": protocol.encode_open("imu", hop=8, timeout_us=200000, priority=2),
        "request PUSH": protocol.encode_push("imu", np.arange(12, dtype=np.float32).reshape(2, 6), 128),
        "request CLOSE": protocol.encode_close("imu"),
        "reply INFER": protocol.encode_infer_reply("7", MODEL, OUTPUTS, facts),
        "reply INFER of a batch of raw samples": protocol.encode_infer_reply(
            "8", MODEL, OUTPUTS, ReplyParameters("toy-1", 3, 41, 360, 4, 95)
        ),
        "reply LIVE": protocol.encode_answer(protocol.LiveHeader("1", live=True)),
        "reply READY": protocol.encode_answer(protocol.ReadyHeader("2", "toy", ready=True)),
        "reply META": protocol.encode_answer(protocol.meta_header("3", MODEL, protocol.MetaParameters("toy-1", 3, {}))),
        "reply CANCEL": protocol.encode_answer(protocol.CancelHeader("5", cancelled=True)),
        "reply OPEN": protocol.encode_answer(protocol.OpenedHeader("imu", 16, 8, RAW)),
        "reply RESULT": protocol.encode_result(
            "imu", MODEL, OUTPUTS, ReplyParameters("toy-1", 3, 41, 118, 1, None, 2, 128, 20)
        ),
        "reply CLOSE": protocol.encode_answer(protocol.ClosedHeader("imu", 2, 0)),
        "reply ERR": protocol.encode_error(
            protocol.ErrorHeader("9", "UNAVAILABLE", "128 requests wait already; try again later", 15)
        ),
        "reply ERR of a window": protocol.encode_error(
            protocol.ErrorHeader(
                "imu", "DEADLINE_EXCEEDED", "200000 us passed before the request was computed", None, 3
            )
        ),
    }


@pytest.mark.parametrize("name", vectors())
def test_bytes_are_those_of_the_vectors(name: str) -> None:
    """Whatever changes inside, other implementations go on to be understood."""
    assert vectors()[name] == ours()[name]


def test_every_message_type_has_a_vector() -> None:
    """And no vector is without a test."""
    requests = {frames[1] for name, frames in vectors().items() if name.startswith("request")}
    assert {
        protocol.INFER,
        protocol.LIVE,
        protocol.READY,
        protocol.META,
        protocol.STATS,
        protocol.CANCEL,
        protocol.OPEN,
        protocol.PUSH,
        protocol.CLOSE,
    } == requests
    assert vectors().keys() == ours().keys()


def test_a_daemon_answers_the_vectors(serve_toy: ServeToy, raw_client: Connect) -> None:
    """A client that sends these very bytes is answered, by type and id."""
    spec = InertialSpec(rate_hz=50.0, samples=16)
    pipeline = build_pipeline(spec)
    model = ModelSignature(
        "toy", "1", "x", (2, 3), "logits", 3, ("low", "middle", "high"), raw=raw_input(spec, pipeline)
    )
    client = raw_client(serve_toy(model=model, pipeline=pipeline).endpoint)
    for name, frames in vectors().items():
        if name.startswith("request") and frames[1] != protocol.PUSH:
            reply = client.ask(frames)
            assert (b"OK", protocol.read_id(frames[2], protocol.DEFAULT_LIMITS)) == (reply.type, reply.header["id"])
            if frames[1] == protocol.OPEN:
                client.send(vectors()["request PUSH"])  # no answer: two samples are no window
