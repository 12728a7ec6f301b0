"""The data plane over real sockets."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pytest
import zmq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adaspring.engine.base import Active, Batch
from adaspring.errors import ConfigError
from adaspring.serve import protocol
from adaspring.serve.endpoint import DATA_MODE, claim
from adaspring.serve.lane import Lane
from adaspring.serve.protocol import Limits, ModelSignature
from adaspring.serve.server import DRAIN_S, LEAST_RECEIVE_MARK, SEND_MARK, DataPlane

if TYPE_CHECKING:
    from tests.conftest import RunningPlane, ToySubnet
    from tests.serve.conftest import RawClient

ServeToy: TypeAlias = "Callable[..., RunningPlane]"
Connect: TypeAlias = "Callable[..., RawClient]"

MODEL = ModelSignature("toy", "1", "x", (2, 3), "logits", 3, ())
X = np.array([[[1, -2, 0.5], [0, 0, 0]]], dtype=np.float32)


def infer(request_id: str = "1", x: Any = X, **wishes: Any) -> list[bytes]:
    """An INFER request."""
    return protocol.encode_infer(request_id, "toy", "x", x, **wishes)


def values(tensor: bytes) -> list[float]:
    """A frame of float32 as numbers."""
    numbers: list[float] = np.frombuffer(tensor, "<f4").tolist()
    return numbers


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for something that another thread does."""
    until_s = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < until_s
        time.sleep(0.005)


def settle() -> None:
    """Give the I/O threads time to carry what was sent to the other side; nothing tells when they have."""
    time.sleep(0.15)


def stop_while_four_are_under_way(plane: RunningPlane, client: RawClient, held: ToySubnet) -> None:
    """Stop a plane that computes a first request while three wait, and let the first be answered."""
    client.send(infer("0"))
    assert held.started.acquire(timeout=5)
    for request_id in "123":
        client.send(infer(request_id))
    settle()
    plane.plane.stop()
    held.permits.release()
    assert held.started.acquire(timeout=5)


@pytest.fixture
def held(toy_subnet: type[ToySubnet]) -> ToySubnet:
    """A subnet whose runs wait for a permit."""
    return toy_subnet(held=True)


def test_reply_names_what_answered(serve_toy: ServeToy, raw_client: Connect) -> None:
    """Outputs, subnet, generation and times come back under the id of the request."""
    plane = serve_toy()
    reply = raw_client(plane.endpoint).ask(infer("7"))
    assert (b"OK", "7", "toy", "1") == (
        reply.type,
        *(reply.header[key] for key in ("id", "model_name", "model_version")),
    )
    assert reply.header["outputs"] == [
        {"name": "logits", "datatype": "FP32", "shape": [1, 3], "parameters": {"binary_data_size": 12}}
    ]
    parameters = reply.header["parameters"]
    assert ("toy-1", 1) == (parameters["subnet"], parameters["generation"])
    assert min(parameters["queue_us"], parameters["compute_us"]) >= 0
    assert [values(tensor) for tensor in reply.tensors] == [[1.0, -2.0, 0.5]]


def test_batch_is_answered_whole(serve_toy: ServeToy, raw_client: Connect) -> None:
    """A request of several samples gets a row for each."""
    reply = raw_client(serve_toy().endpoint).ask(infer(x=np.concatenate([X, 2 * X])))
    assert reply.header["outputs"][0]["shape"] == [2, 3]
    assert values(reply.tensors[0]) == [1.0, -2.0, 0.5, 2.0, -4.0, 1.0]


def test_req_client_gets_its_delimiter_back(serve_toy: ServeToy, raw_client: Connect) -> None:
    """A REQ socket works unchanged, for replies and for errors."""
    client = raw_client(serve_toy().endpoint, zmq.REQ)
    assert client.ask(infer()).type == b"OK"
    assert client.ask([b"OIPZ1", b"INFER", b"{}"]).type == b"ERR"
    assert client.ask(infer()).type == b"OK"


def test_queries_are_answered(serve_toy: ServeToy, raw_client: Connect) -> None:
    """LIVE, READY and META say what the document says."""
    plane = serve_toy()
    plane.lane.extra = {"bundle": "abc"}
    client = raw_client(plane.endpoint)
    assert client.ask(protocol.encode_query(protocol.LIVE, "1")).header == {"id": "1", "live": True}
    ready = client.ask(protocol.encode_query(protocol.READY, "2", model_name="toy"))
    assert ready.header == {"id": "2", "name": "toy", "ready": True}
    assert client.ask(protocol.encode_query(protocol.META, "3")).header == {
        "id": "3",
        "name": "toy",
        "versions": ["1"],
        "platform": "adaspring",
        "inputs": [
            {"name": "x", "datatype": "FP32", "shape": [-1, 2, 3], "parameters": {"datatypes": ["FP32", "FP16"]}}
        ],
        "outputs": [
            {
                "name": "logits",
                "datatype": "FP32",
                "shape": [-1, 3],
                "parameters": {"labels": ["low", "middle", "high"]},
            }
        ],
        "parameters": {"subnet": "toy-1", "generation": 1, "extra": {"bundle": "abc"}, "preprocessing": None},
    }


def test_extra_that_cannot_be_sent_fails_where_it_is_set(serve_toy: ServeToy) -> None:
    """The data thread never meets what msgspec cannot encode."""
    lane = serve_toy().lane
    with pytest.raises(TypeError):
        lane.extra = {"object": object()}
    assert lane.extra == {}


def test_error_reply_carries_code_sentence_and_id_and_is_counted(serve_toy: ServeToy, raw_client: Connect) -> None:
    """A bad request is told what was expected, and the next good one is served."""
    client = raw_client(serve_toy().endpoint)
    error = client.ask(infer("8", np.zeros((1, 3, 3), np.float32)))
    assert (b"ERR", "8", "INVALID_ARG") == (error.type, error.header["id"], error.header["code"])
    assert "[n, 2, 3]" in error.header["error"]
    client.send([b"OIPZ9", b"INFER", b"{}"])
    assert client.receive().header["id"] == ""
    assert client.ask(infer()).type == b"OK"
    statistics = client.statistics()
    assert (4, 1, 1) == (statistics["received"], statistics["samples"], statistics["answered"])
    assert {"shape": 1, "version": 1} == {key: count for key, count in statistics["rejected"].items() if count}


def test_priority_then_arrival(serve_toy: ServeToy, raw_client: Connect, held: ToySubnet) -> None:
    """What waits together is answered by priority, and in order of arrival within one."""
    client = raw_client(serve_toy(held).endpoint)
    client.send(infer("first"))
    assert held.started.acquire(timeout=5)
    for request_id, priority in (("c", 5), ("a", 1), ("d", 9), ("b", 1)):
        client.send(infer(request_id, priority=priority))
    settle()
    held.permits.release(5)
    assert [client.receive().header["id"] for _ in range(5)] == ["first", "a", "b", "c", "d"]


def test_flooding_client_gets_no_more_than_its_share(
    serve_toy: ServeToy, raw_client: Connect, toy_subnet: type[ToySubnet], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one client keeps the queue full, another with four under way is refused nothing and served as much."""
    compute = toy_subnet.run

    def slowly(subnet: ToySubnet, batch: Batch) -> Batch:
        time.sleep(0.002)
        return compute(subnet, batch)

    monkeypatch.setattr(toy_subnet, "run", slowly)
    plane = serve_toy(queue_size=64)
    flood, calm = raw_client(plane.endpoint), raw_client(plane.endpoint)
    stop = threading.Event()

    def pour() -> None:
        while not stop.is_set():
            if flood.socket.poll(1, zmq.POLLOUT):
                flood.send(infer("flood"))
            while flood.socket.poll(0):
                flood.receive()

    pouring = threading.Thread(target=pour)
    pouring.start()
    try:
        wait_until(lambda: plane.plane.statistics().rejected["queue_full"] > 0)
        before = plane.plane.statistics().answered
        for _ in range(4):
            calm.send(infer())
        kinds = set()
        for _ in range(100):
            kinds.add(calm.receive().type)
            calm.send(infer())
        share = 100 / (plane.plane.statistics().answered - before)
    finally:
        stop.set()
        pouring.join()
    assert kinds == {b"OK"}
    # One half but for the moments in which the calm client has not sent its next yet; in order of arrival 1 of 16.
    assert share > 0.25


def test_what_waits_is_computed_together_where_that_pays(
    serve_toy: ServeToy, raw_client: Connect, toy_subnet: type[ToySubnet]
) -> None:
    """Half of those that wait make a batch; each request gets its own outputs and is told of the batch.

    No deadline is missed for one.
    """
    subnet = toy_subnet(held=True)
    plane = serve_toy(subnet)
    plane.lane.batch_by({2: 1.2, 4: 1.5})
    clients = [raw_client(plane.endpoint) for _ in range(8)]
    subnet.permits.release()
    assert clients[0].ask(infer("first")).type == b"OK"  # what one frame takes is known from here on
    clients[0].send(infer("running"))
    wait_until(lambda: plane.plane.statistics().received == 2)
    for number, client in enumerate(clients):
        client.send(infer(str(number), X * number, timeout_us=60_000_000 if number < 7 else 1_000_000))
    settle()
    subnet.permits.release(10)
    running = clients[0].receive().header
    replies = [client.receive() for client in clients]
    batches = [header["parameters"].get("batch", 1) for header in (running, *(reply.header for reply in replies))]
    assert (batches[0], sorted(batches[1:])) == (1, [1, 1, 2, 2, 4, 4, 4, 4])
    for number, reply in enumerate(replies):
        assert reply.header["id"] == str(number)
        assert values(reply.tensors[0]) == [number, -2 * number, 0.5 * number]
    assert plane.plane.statistics().batches == 2
    # Times are kept behind the answer.
    wait_until(lambda: len(plane.lane.measurements.recent_compute_us()) == 10)


def test_expired_request_is_not_computed(serve_toy: ServeToy, raw_client: Connect, held: ToySubnet) -> None:
    """It is answered DEADLINE_EXCEEDED, and counted."""
    plane = serve_toy(held)
    client = raw_client(plane.endpoint)
    client.send(infer("0"))
    assert held.started.acquire(timeout=5)
    client.send(infer("1"))
    client.send(infer("2", timeout_us=1000))
    settle()
    held.permits.release()
    assert held.started.acquire(timeout=5)
    time.sleep(0.002)
    held.permits.release(2)
    replies = {reply.header["id"]: reply for reply in (client.receive() for _ in range(3))}
    assert [b"OK", b"OK", b"ERR"] == [replies[request_id].type for request_id in "012"]
    assert replies["2"].header["code"] == "DEADLINE_EXCEEDED"
    assert "1000 us" in replies["2"].header["error"]
    statistics = client.statistics()
    assert (1, 2) == (statistics["expired"], statistics["answered"])


def test_full_queue_turns_away_with_a_hint(serve_toy: ServeToy, raw_client: Connect, held: ToySubnet) -> None:
    """Those who wait are served; one more is told when to try again."""
    plane = serve_toy(held, queue_size=2)
    client = raw_client(plane.endpoint)
    client.send(infer("0"))
    assert held.started.acquire(timeout=5)
    for request_id in "123":
        client.send(infer(request_id))
    settle()
    held.permits.release(3)
    replies = [client.receive() for _ in range(4)]
    refused = [reply.header for reply in replies if reply.type == b"ERR"]
    assert [("3", "UNAVAILABLE")] == [(header["id"], header["code"]) for header in refused]
    assert refused[0]["retry_after_ms"] >= 1
    statistics = client.statistics()
    assert (4, 3, 1) == (statistics["samples"], statistics["answered"], statistics["rejected"]["queue_full"])


def test_cancelled_request_is_not_computed(serve_toy: ServeToy, raw_client: Connect, held: ToySubnet) -> None:
    """CANCEL reaches the client's own requests that wait, and nobody else's."""
    plane = serve_toy(held)
    client, other = raw_client(plane.endpoint), raw_client(plane.endpoint)
    client.send(infer("0"))
    assert held.started.acquire(timeout=5)
    client.send(infer("1"))
    other.send(infer("1"))
    client.send(protocol.encode_query(protocol.CANCEL, "2", cancel_id="1"))
    client.send(protocol.encode_query(protocol.CANCEL, "3", cancel_id="1"))
    settle()
    held.permits.release(2)
    replies = {reply.header["id"]: reply for reply in (client.receive() for _ in range(4))}
    assert replies["0"].type == b"OK"
    assert (b"ERR", "CANCELLED") == (replies["1"].type, replies["1"].header["code"])
    assert (True, False) == (replies["2"].header["cancelled"], replies["3"].header["cancelled"])
    assert other.receive().type == b"OK"
    statistics = client.statistics()
    assert (1, 2) == (statistics["cancelled"], statistics["answered"])


def test_failing_subnet_answers_internal_and_the_loop_goes_on(
    serve_toy: ServeToy, raw_client: Connect, toy_subnet: type[ToySubnet], caplog: pytest.LogCaptureFixture
) -> None:
    """The client learns that it failed, the journal why, once; the next subnet serves."""
    plane = serve_toy(toy_subnet(error=RuntimeError("out of registers")))
    client = raw_client(plane.endpoint)
    errors = [client.ask(infer()).header for _ in range(3)]
    assert [("INTERNAL", True)] * 3 == [(error["code"], "toy-1" in error["error"]) for error in errors]
    assert [record.getMessage() for record in caplog.records] == [
        "subnet toy-1 of toy failed on a request: out of registers"
    ]
    plane.active.publish(toy_subnet(2.0))
    assert client.ask(infer()).type == b"OK"
    assert plane.plane.statistics().failed == 3


def test_dead_client_costs_nobody_anything(serve_toy: ServeToy, raw_client: Connect, held: ToySubnet) -> None:
    """A reply without a receiver is counted, and others are served."""
    plane = serve_toy(held)
    dead, alive = raw_client(plane.endpoint), raw_client(plane.endpoint)
    dead.send(infer())
    assert held.started.acquire(timeout=5)
    dead.socket.close()
    alive.send(infer())
    settle()
    held.permits.release(2)
    assert alive.receive().type == b"OK"
    assert plane.plane.statistics().undelivered == 1


def test_client_that_does_not_read_does_not_block_the_loop(serve_toy: ServeToy, raw_client: Connect) -> None:
    """Its replies are dropped beyond what libzmq and the kernel hold, and others are served."""
    plane = serve_toy()
    deaf = raw_client(plane.endpoint, rcvhwm=1, rcvbuf=4096)
    echoed = protocol.encode_query(protocol.LIVE, "x" * 4000)
    for _ in range(SEND_MARK + 500):
        deaf.send(echoed)
    wait_until(lambda: plane.plane.statistics().undelivered > 0)
    assert raw_client(plane.endpoint).ask(infer()).type == b"OK"


def test_swap_while_serving_mislabels_nothing(
    serve_toy: ServeToy, raw_client: Connect, toy_subnet: type[ToySubnet]
) -> None:
    """While subnets are swapped, each reply holds the outputs of the subnet and the generation that it names."""
    plane = serve_toy()
    names = {1: "toy-1"}
    stop = threading.Event()

    def swap() -> None:
        while not stop.wait(0.0005):
            generation = plane.active.publish(toy_subnet(float(len(names) + 1)))
            names[generation.number] = generation.subnet.name

    swapper = threading.Thread(target=swap)
    swapper.start()
    client = raw_client(plane.endpoint)
    replies = []
    try:
        for _ in range(100):
            for request_id in range(8):
                client.send(infer(str(request_id)))
            replies += [client.receive() for _ in range(8)]
    finally:
        stop.set()
        swapper.join()
    assert [str(index % 8) for index in range(800)] == [reply.header["id"] for reply in replies]
    for reply in replies:
        parameters = reply.header["parameters"]
        assert names[parameters["generation"]] == parameters["subnet"]
        factor = float(parameters["subnet"].removeprefix("toy-"))
        assert values(reply.tensors[0]) == [factor, -2 * factor, 0.5 * factor]
    assert len({reply.header["parameters"]["generation"] for reply in replies}) > 10


GARBAGE = st.lists(st.sampled_from([b"", *infer(), b"{}", b"LIVE"]) | st.binary(max_size=60), min_size=1)


@pytest.fixture
def toy_plane(serve_toy: ServeToy) -> RunningPlane:
    """One data plane for all examples of a property."""
    return serve_toy()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(garbage=GARBAGE)
def test_good_request_is_served_after_any_garbage(
    garbage: list[bytes], toy_plane: RunningPlane, raw_client: Connect
) -> None:
    """Whatever a client sends before, its good request is answered."""
    client = raw_client(toy_plane.endpoint)
    client.send(garbage)
    client.send(infer("good"))
    while b'{"id":"good"' not in b"".join(client.socket.recv_multipart()):
        pass
    client.socket.close()


def test_frame_beyond_the_limit_costs_only_its_sender(serve_toy: ServeToy, raw_client: Connect) -> None:
    """The connection is closed before the frame is held in memory; others are served."""
    plane = serve_toy(limits=Limits(message_bytes=10_000))
    raw_client(plane.endpoint).send([*infer()[:3], b"x" * 10_001])
    assert raw_client(plane.endpoint).ask(infer()).type == b"OK"
    assert plane.plane.statistics().received == 1


def test_recent_times_belong_to_their_generation(
    serve_toy: ServeToy, raw_client: Connect, toy_subnet: type[ToySubnet]
) -> None:
    """The control thread reads how long the frames of a subnet took."""
    plane = serve_toy()
    client = raw_client(plane.endpoint)
    for _ in range(3):
        client.ask(infer())
    plane.active.publish(toy_subnet(2.0))
    client.ask(infer())
    wait_until(lambda: plane.plane.statistics().answered == 4)
    assert (3, 1, 4) == tuple(plane.lane.measurements.recent_compute_us(generation).size for generation in (1, 2, None))
    assert (plane.lane.measurements.recent_total_us() >= plane.lane.measurements.recent_compute_us()).all()
    assert plane.plane.statistics().generation == 2


def test_idle_loop_makes_progress(serve_toy: ServeToy) -> None:
    """A watchdog sees that it lives though nobody asks anything."""
    plane = serve_toy().plane
    before_s = plane.statistics().last_progress_s
    wait_until(lambda: plane.statistics().last_progress_s > before_s)


def test_stop_answers_what_waits(serve_toy: ServeToy, raw_client: Connect, held: ToySubnet) -> None:
    """Requests sent before the stop are computed; who asks meanwhile learns that it is not ready."""
    plane = serve_toy(held)
    client = raw_client(plane.endpoint)
    client.send(infer("0"))
    assert held.started.acquire(timeout=5)
    for request_id in "123":
        client.send(infer(request_id))
    client.send(protocol.encode_query(protocol.READY, "4"))
    settle()
    plane.plane.stop()
    held.permits.release(4)
    replies = {reply.header["id"]: reply for reply in (client.receive() for _ in range(5))}
    assert {b"OK"} == {reply.type for reply in replies.values()}
    assert replies["4"].header["ready"] is False
    plane.stop()
    assert plane.plane.statistics().queue_depth == 0


def test_stop_answers_what_is_still_on_its_way(serve_toy: ServeToy, raw_client: Connect, held: ToySubnet) -> None:
    """What a client has sent before and the I/O threads have not carried over yet is answered as well."""
    plane = serve_toy(held)
    client = raw_client(plane.endpoint)
    client.send(infer("0"))
    assert held.started.acquire(timeout=5)
    count = 6 * LEAST_RECEIVE_MARK
    for number in range(1, count):
        client.send(infer(str(number)))
    plane.plane.stop()
    held.permits.release(count)
    assert [b"OK"] * count == [client.receive().type for _ in range(count)]
    plane.stop()


def test_stop_turns_nobody_away_who_goes_on_asking(serve_toy: ServeToy, raw_client: Connect, held: ToySubnet) -> None:
    """After half of its time a stopping daemon takes nothing more, and computes what it took."""
    now_s = 0.0
    plane = serve_toy(held, clock=lambda: now_s)
    client = raw_client(plane.endpoint)
    stop_while_four_are_under_way(plane, client, held)
    client.send(infer("late"))
    settle()
    now_s = 0.75 * DRAIN_S
    held.permits.release(4)
    assert [("0", b"OK"), ("1", b"OK"), ("2", b"OK"), ("3", b"OK")] == [
        (reply.header["id"], reply.type) for reply in (client.receive() for _ in range(4))
    ]
    plane.stop()
    statistics = plane.plane.statistics()
    assert (4, 0) == (statistics.received, statistics.rejected["draining"])


def test_stop_does_not_wait_for_a_slow_subnet(serve_toy: ServeToy, raw_client: Connect, held: ToySubnet) -> None:
    """What cannot be computed in time is told to go elsewhere."""
    now_s = 0.0
    plane = serve_toy(held, clock=lambda: now_s)
    client = raw_client(plane.endpoint)
    stop_while_four_are_under_way(plane, client, held)
    now_s = DRAIN_S
    held.permits.release()
    replies = {reply.header["id"]: reply for reply in (client.receive() for _ in range(4))}
    assert [b"OK", b"OK", b"ERR", b"ERR"] == [replies[request_id].type for request_id in "0123"]
    assert {"UNAVAILABLE"} == {replies[request_id].header["code"] for request_id in "23"}
    plane.stop()
    assert plane.plane.statistics().rejected["draining"] == 2


def test_bind_that_fails_closes_the_plane(socket_folder: Path, toy_subnet: type[ToySubnet]) -> None:
    """The error surfaces in the thread that starts things, and nothing is left open."""
    folder = socket_folder / "gone"
    with zmq.Context() as context, claim(f"ipc://{folder}/infer.sock", mode=DATA_MODE) as claimed:
        plane = DataPlane(context, claimed, [Lane(MODEL, Active(toy_subnet()))])
        shutil.rmtree(folder)
        with pytest.raises(ConfigError, match="cannot bind"):
            plane.bind()
