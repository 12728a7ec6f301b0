"""Several models behind one socket: who is meant, one queue for all, batches and counters for each."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adaspring.client import Client
from adaspring.engine.base import Active
from adaspring.errors import InvalidArgumentError, NotFoundError
from adaspring.features import InertialSpec, build_pipeline
from adaspring.serve import protocol
from adaspring.serve.lane import Lane
from adaspring.serve.protocol import InferRequest, ModelSignature, RawInput
from adaspring.serve.queue import RequestQueue

if TYPE_CHECKING:
    from tests.conftest import RunningPlane, ToySubnet
    from tests.serve.conftest import RawClient

Serve: TypeAlias = "Callable[..., RunningPlane]"
Connect: TypeAlias = "Callable[..., RawClient]"

X = np.array([[[1.0, -2.0, 0.5], [0.0, 0.0, 0.0]]], dtype=np.float32)
#: A model beside the toy of all tests, of another shape.
OTHER = ModelSignature("other", "3", "y", (1, 4), "scores", 4, ("a", "b", "c", "d"))
Y = np.array([[[4.0, 3.0, 2.0, 1.0]]], dtype=np.float32)


def infer(model: str, request_id: str = "", **parameters: Any) -> list[bytes]:
    """A request that fits a model."""
    name, x = ("x", X) if model == "toy" else ("y", Y)
    return protocol.encode_infer(request_id, model, name, x, **parameters)


@pytest.fixture
def both(serve_toy: Serve, toy_subnet: type[ToySubnet]) -> RunningPlane:
    """A plane that serves both models at once."""
    return serve_toy(beside=[Lane(OTHER, Active(toy_subnet(2.0)))])


def test_each_request_is_answered_by_its_model(both: RunningPlane, raw_client: Connect) -> None:
    """Over one connection, mixed: name, version, subnet and outputs are those of the model that was asked."""
    client = raw_client(both.endpoint)
    asked = ["toy", "other", "other", "toy", "other", "toy"]
    for index, model in enumerate(asked):
        client.send(infer(model, str(index)))
    replies = {reply.header["id"]: reply for reply in (client.receive() for _ in asked)}
    for index, model in enumerate(asked):
        reply = replies[str(index)]
        expected = ("toy", "1", "toy-1", [1.0, -2.0, 0.5]) if model == "toy" else ("other", "3", "toy-2", [8, 6, 4, 2])
        outputs = np.frombuffer(reply.tensors[0], np.float32).tolist()
        header = reply.header
        assert expected == (header["model_name"], header["model_version"], header["parameters"]["subnet"], outputs)


@pytest.mark.parametrize(
    ("frames", "code", "words"),
    [
        (infer("third"), "NOT_FOUND", "'toy' or 'other'"),
        (infer(""), "INVALID_ARG", "'toy' or 'other'"),
        (protocol.encode_query(protocol.META, ""), "INVALID_ARG", "'toy' or 'other'"),
        (protocol.encode_query(protocol.META, "", model_name="third"), "NOT_FOUND", "'toy' or 'other'"),
        (protocol.encode_open("s", hop=1), "INVALID_ARG", "'toy' or 'other'"),
        (protocol.encode_infer("", "toy", "y", Y), "INVALID_ARG", "expected ['x']"),
    ],
)
def test_a_model_that_is_not_meant_clearly_is_refused(
    both: RunningPlane, raw_client: Connect, frames: list[bytes], code: str, words: str
) -> None:
    """An unknown name, or none, is told the names there are; another model's tensor what this one takes."""
    reply = raw_client(both.endpoint).ask(frames)
    assert (b"ERR", code, True) == (reply.type, reply.header["code"], words in reply.header["error"])


def test_one_model_needs_no_name(serve_toy: Serve, raw_client: Connect) -> None:
    """Who serves one model knows which is meant."""
    reply = raw_client(serve_toy().endpoint).ask(protocol.encode_infer("1", "", "x", X))
    assert (b"OK", "toy") == (reply.type, reply.header["model_name"])


def test_clients_speak_to_the_model_that_they_name(both: RunningPlane) -> None:
    """Each learns its own model; one that names none is told to."""
    with Client(both.endpoint, model="toy") as toy, Client(both.endpoint, model="other") as other:
        assert (["toy-1", "low"], ["toy-2", "a"]) == tuple(
            [result.subnet, result.label] for result in (toy.infer(X), other.infer(Y))
        )
        assert toy.ready()
        assert other.ready()
    with Client(both.endpoint) as nobody, pytest.raises(InvalidArgumentError, match="'toy' or 'other'"):
        nobody.meta()
    with Client(both.endpoint, model="third") as third, pytest.raises(NotFoundError, match="'toy' or 'other'"):
        third.ready()


def test_what_happened_is_counted_by_model_and_together(
    both: RunningPlane, raw_client: Connect, toy_subnet: type[ToySubnet]
) -> None:
    """STATS of a model tells of its requests, STATS without a name of all; generations are each model's own."""
    client = raw_client(both.endpoint)
    both.active.publish(toy_subnet(3.0))
    for model in ("toy", "other", "other"):
        client.ask(infer(model))
    client.ask(infer("third"))

    def counted(model: str) -> tuple[int, ...]:
        told = client.ask(protocol.encode_query(protocol.STATS, "", model_name=model)).header["statistics"]
        return (*(told[key] for key in ("samples", "answered", "generation")), sum(told["rejected"].values()))

    assert (1, 1, 2, 0) == counted("toy")
    assert (2, 2, 1, 0) == counted("other")
    assert (3, 3, 2, 1) == counted("")


def test_meta_tells_each_model_of_itself(both: RunningPlane, raw_client: Connect) -> None:
    """Tensors, labels, subnet, and what the application adds."""
    both.lane.extra = {"of": "toy"}
    client = raw_client(both.endpoint)
    toy, other = (
        client.ask(protocol.encode_query(protocol.META, "", model_name=name)).header for name in ("toy", "other")
    )
    assert ("toy", "toy-1", {"of": "toy"}) == (
        toy["name"],
        toy["parameters"]["subnet"],
        toy["parameters"]["extra"],
    )
    assert ("other", "toy-2", {}, "y") == (
        other["name"],
        other["parameters"]["subnet"],
        other["parameters"]["extra"],
        other["inputs"][0]["name"],
    )
    ready = client.ask(protocol.encode_query(protocol.READY, "")).header
    assert {"id": "", "name": "", "ready": True} == ready


def test_a_stream_is_of_the_model_that_it_names(
    serve_toy: Serve, raw_client: Connect, toy_subnet: type[ToySubnet]
) -> None:
    """Its windows are computed by that model, while requests to another go on."""
    spec = InertialSpec(rate_hz=50.0, samples=16)
    pipeline = build_pipeline(spec)
    channels, samples = pipeline.shape
    raw = RawInput("inertial", "FP32", pipeline.raw.shape, pipeline.raw.channels, 50.0, pipeline.hop)
    moving = ModelSignature("moving", "1", "x", (channels, samples), "logits", samples, (), raw=raw)
    plane = serve_toy(beside=[Lane(moving, Active(toy_subnet(2.0)), pipeline)])
    client = raw_client(plane.endpoint)
    assert client.ask(protocol.encode_open("imu", hop=8, model_name="moving")).type == b"OK"
    refused = client.ask(protocol.encode_open("imu2", hop=8, model_name="toy")).header
    assert "UNSUPPORTED" == refused["code"]
    client.send(protocol.encode_push("imu", np.ones((16, 6), np.float32), None))
    client.send(infer("toy", "7"))
    replies = {client_reply.header["id"]: client_reply for client_reply in (client.receive(), client.receive())}
    assert (b"RESULT", "moving") == (replies["imu"].type, replies["imu"].header["model_name"])
    assert (b"OK", "toy") == (replies["7"].type, replies["7"].header["model_name"])


def named(index: int, model: str) -> InferRequest:
    """A request of one sample."""
    return InferRequest(str(index), np.zeros((1, 1), np.float32), None, 5, model=model)


@given(st.lists(st.sampled_from(["har", "sound"]), max_size=40), st.integers(2, 8))
def test_only_requests_of_one_model_leave_together(models: list[str], largest: int) -> None:
    """A batch is of one model, and the order is that of the queue, whatever the models are."""
    queue = RequestQueue(40)
    for index, model in enumerate(models):
        queue.push([b"client"], named(index, model), 0.0)
    left: list[str] = []
    while queue:
        expected = queue.next_model
        batch = queue.pop(largest, lambda _size, _deadline_s: True)
        assert {expected} == {work.request.model for work in batch}
        assert len(batch) <= largest
        left += [work.request.id for work in batch]
    assert [str(index) for index in range(len(models))] == left


def test_turned_away_and_cancelled_are_counted_where_they_belong(
    serve_toy: Serve, raw_client: Connect, toy_subnet: type[ToySubnet]
) -> None:
    """The queue is one for all models, and each counts its own losses."""
    held = toy_subnet(held=True)
    plane = serve_toy(held, beside=[Lane(OTHER, Active(toy_subnet(2.0)))], queue_size=2)
    client = raw_client(plane.endpoint)
    client.send(infer("toy", "computed"))
    assert held.started.acquire(timeout=5)
    for request_id in ("first", "second", "refused"):
        client.send(infer("other", request_id))
    client.send(protocol.encode_query(protocol.CANCEL, "c", cancel_id="second"))
    # Nothing tells when the I/O threads have carried what was sent to the other side.
    time.sleep(0.15)
    held.permits.release()
    replies = {reply.header["id"]: reply for reply in (client.receive() for _ in range(5))}
    assert (b"OK", b"OK", b"ERR", b"ERR") == tuple(
        replies[request_id].type for request_id in ("computed", "first", "second", "refused")
    )
    toy, other = (plane.plane.statistics(name) for name in ("toy", "other"))
    assert (0, 1, 0, 1) == (toy.cancelled, other.cancelled, toy.rejected["queue_full"], other.rejected["queue_full"])
    together = plane.plane.statistics()
    assert (2, 1, 1, 5) == (together.answered, together.cancelled, together.rejected["queue_full"], together.received)
    assert msgspec.to_builtins(together)["queue_depth"] == 0
