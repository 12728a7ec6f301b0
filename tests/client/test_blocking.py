"""The blocking client against a real data plane."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pytest
import zmq

from adaspring import errors
from adaspring.client import Client
from adaspring.client.exchange import LOOK_S
from adaspring.serve import protocol
from adaspring.serve.protocol import ModelSignature

if TYPE_CHECKING:
    from tests.client.conftest import Dying
    from tests.conftest import RunningPlane, ToySubnet

ServeToy: TypeAlias = "Callable[..., RunningPlane]"

SAMPLE = np.array([[1, -2, 0.5], [0, 0, 0]], dtype=np.float32)


def test_sample_is_answered_with_its_label(serve_toy: ServeToy) -> None:
    """Outputs, label, subnet, generation and times come as one value."""
    with Client(serve_toy().endpoint) as client:
        result = client.infer(SAMPLE)
    np.testing.assert_array_equal([SAMPLE[0]], result.outputs)
    assert ("low", ("low",), "toy-1", 1) == (result.label, result.labels, result.subnet, result.generation)
    assert result.round_trip_us > result.compute_us >= 0
    assert result.queue_us >= 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, ">f4"])
def test_batch_is_answered_whole(serve_toy: ServeToy, dtype: str) -> None:
    """Each sample has its row and its label, in whatever float the caller counts."""
    batch = np.stack([SAMPLE, -SAMPLE]).astype(dtype)
    with Client(serve_toy().endpoint, model="toy") as client:
        result = client.infer(batch)
    np.testing.assert_array_equal(batch[:, 0].astype(np.float32), result.outputs)
    assert result.labels == ("low", "middle")


def test_lists_are_arrays(serve_toy: ServeToy) -> None:
    """A caller without numpy sends nested lists."""
    with Client(serve_toy().endpoint) as client:
        assert client.infer([[0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]).label == "high"


def test_queries(serve_toy: ServeToy) -> None:
    """Liveness, readiness, metadata and counters."""
    plane = serve_toy()
    with Client(plane.endpoint) as client:
        assert (True, True) == (client.live(), client.ready())
        metadata = client.meta()
        assert ("toy", ("low", "middle", "high")) == (metadata.name, metadata.outputs[0].parameters.labels)
        plane.active.publish(plane.active.current.subnet)
        assert client.meta().parameters.generation == 2
        client.infer(SAMPLE)
        assert client.stats().answered == 1


@pytest.mark.parametrize(
    ("error", "ask"),
    [
        (errors.InvalidArgumentError, lambda client: client.infer(np.zeros((3, 3)))),
        (errors.InvalidArgumentError, lambda client: client.infer(np.zeros((1, 2, 3), np.int16))),
        (errors.InvalidArgumentError, lambda client: client.infer(SAMPLE, priority=10)),
        (errors.ProtocolError, lambda client: client.infer(np.array([object()]))),
    ],
)
def test_bad_request_is_a_typed_error_and_the_next_is_served(
    serve_toy: ServeToy, error: type[Exception], ask: Callable[[Client], object]
) -> None:
    """The error says what was expected, and the connection goes on."""
    with Client(serve_toy().endpoint) as client:
        with pytest.raises(error, match=r"expected|Expected|convert"):
            ask(client)
        assert client.infer(SAMPLE).label == "low"


def test_other_model_is_not_found(serve_toy: ServeToy) -> None:
    """A client that insists on a model learns that another is served."""
    with Client(serve_toy().endpoint, model="har") as client:
        with pytest.raises(errors.NotFoundError, match="'toy'"):
            client.infer(SAMPLE)
        with pytest.raises(errors.NotFoundError):
            client.ready()


def test_failure_of_the_subnet_is_an_internal_error(serve_toy: ServeToy, toy_subnet: type[ToySubnet]) -> None:
    """The daemon's fault is told apart from the caller's."""
    plane = serve_toy(toy_subnet(error=RuntimeError("out of registers")))
    with Client(plane.endpoint) as client, pytest.raises(errors.InternalError) as caught:
        client.infer(SAMPLE)
    assert caught.value.code == "INTERNAL"


def test_nobody_there_is_a_connect_error(socket_folder: Path) -> None:
    """It names the endpoint and what to look at; liveness is simply false."""
    endpoint = f"ipc://{socket_folder}/infer.sock"
    with Client(endpoint, timeout_s=0.02, retries=1) as client:
        with pytest.raises(errors.ConnectError, match=rf"{endpoint}.*No such file"):
            client.infer(SAMPLE)
        assert (False, False) == (client.live(), client.ready())


def test_silence_is_a_timeout(serve_toy: ServeToy, toy_subnet: type[ToySubnet]) -> None:
    """Somebody is there who does not answer: the time waited is told."""
    subnet = toy_subnet(held=True)
    plane = serve_toy(subnet)
    with Client(plane.endpoint, timeout_s=0.05, retries=1) as client:
        client.meta()
        with pytest.raises(errors.TimedOutError, match=r"0\.1 s"):
            client.infer(SAMPLE)
        subnet.permits.release(10)
        assert client.live()


def test_deadline_defaults_to_the_time_that_the_client_waits(serve_toy: ServeToy, toy_subnet: type[ToySubnet]) -> None:
    """What nobody waits for any more is not computed."""
    subnet = toy_subnet(held=True)
    plane = serve_toy(subnet)
    with Client(plane.endpoint, timeout_s=0.05, retries=2) as client:
        client.meta()
        with pytest.raises(errors.TimedOutError):
            client.infer(SAMPLE)
        # The first of three attempts is being computed; the others arrive when it is done, and are answered late.
        subnet.permits.release(10)
        assert client.infer(SAMPLE).label == "low"


def test_restart_of_the_daemon_goes_unnoticed(serve_toy: ServeToy) -> None:
    """A request sent while nobody is there is answered by the daemon that comes back."""
    first = serve_toy()
    with Client(first.endpoint, timeout_s=0.25, retries=20) as client:
        assert client.infer(SAMPLE).generation == 1
        first.stop()
        results = []
        asking = threading.Thread(target=lambda: results.append(client.infer(SAMPLE)))
        asking.start()
        second = serve_toy()
        asking.join(10)
    assert [result.label for result in results] == ["low"]
    assert second.plane.statistics().answered == 1


def test_who_comes_after_a_daemon_that_died_is_asked_at_once(serve_toy: ServeToy, dying: Dying) -> None:
    """What was sent to it is lost; nobody waits until time is up to ask again."""
    results = []
    with Client(dying.endpoint, timeout_s=60.0, retries=1) as client:
        asking = threading.Thread(target=lambda: results.append(client.infer(SAMPLE)), daemon=True)
        asking.start()
        dying.die()
        serve_toy()
        asking.join(20)
        assert [result.label for result in results] == ["low"]


def test_a_daemon_that_went_while_nothing_was_under_way_costs_no_try(
    serve_toy: ServeToy, toy_subnet: type[ToySubnet]
) -> None:
    """Nothing was lost with it: the next request is sent once, and waited for."""
    first = serve_toy()
    with Client(first.endpoint, timeout_s=30.0, retries=0) as client:
        client.infer(SAMPLE)
        first.stop()
        subnet = toy_subnet(held=True)
        second = serve_toy(subnet)
        time.sleep(3 * LOOK_S)
        release = threading.Timer(3 * LOOK_S, subnet.permits.release)
        release.start()
        assert client.infer(SAMPLE).label == "low"
        release.join()
    assert second.plane.statistics().answered == 1


def test_labels_follow_the_version_of_the_model(serve_toy: ServeToy) -> None:
    """After an update of the bundle, results carry the labels of the version that answered."""
    first = serve_toy()
    with Client(first.endpoint, timeout_s=0.25, retries=20) as client:
        assert client.infer(SAMPLE).label == "low"
        first.stop()
        serve_toy(model=ModelSignature("toy", "2", "x", (2, 3), "logits", 3, ("sit", "stand", "walk")))
        assert client.infer(SAMPLE).label == "sit"


def test_outputs_without_labels_have_none(serve_toy: ServeToy) -> None:
    """A model whose outputs are no classes gives numbers alone."""
    plane = serve_toy(model=ModelSignature("toy", "1", "x", (2, 3), "logits", 3, ()))
    with Client(plane.endpoint) as client:
        result = client.infer(SAMPLE)
    assert (None, ()) == (result.label, result.labels)


def test_endpoint_that_is_none_is_refused_at_once() -> None:
    """A mistyped address is not waited for."""
    with pytest.raises(errors.ConnectError, match="ipc:///run/adaspring"):
        Client("infer.sock")


@contextmanager
def scripted(folder: Path, answers: Callable[[list[bytes]], list[list[bytes]]]) -> Iterator[str]:
    """A daemon that answers each request with what the script says."""
    endpoint = f"ipc://{folder}/infer.sock"
    stop = threading.Event()
    with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
        router.linger = 0
        router.rcvtimeo = 20
        router.bind(endpoint)

        def serve() -> None:
            while not stop.is_set():
                try:
                    identity, *frames = router.recv_multipart()
                except zmq.Again:
                    continue
                for answer in answers(frames):
                    router.send_multipart([identity, *answer])

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield endpoint
        finally:
            stop.set()
            thread.join(5)


def test_answers_to_other_requests_are_passed_over(socket_folder: Path) -> None:
    """Only the reply with the request's own id counts."""

    def late_then_right(frames: list[bytes]) -> list[list[bytes]]:
        request_id = protocol.read_id(frames[2], protocol.DEFAULT_LIMITS)
        late = protocol.encode_answer(protocol.LiveHeader("of yesterday", live=False))
        return [late, late, protocol.encode_answer(protocol.LiveHeader(request_id, live=True))]

    with scripted(socket_folder, late_then_right) as endpoint, Client(endpoint, timeout_s=1) as client:
        assert client.live()


def test_unknown_code_is_a_plain_reply_error(socket_folder: Path) -> None:
    """A code of a later release keeps its name and its sentence."""

    def newer(frames: list[bytes]) -> list[list[bytes]]:
        request_id = protocol.read_id(frames[2], protocol.DEFAULT_LIMITS)
        return [protocol.encode_error(protocol.ErrorHeader(request_id, "EXHAUSTED", "come back later", 20))]

    with (
        scripted(socket_folder, newer) as endpoint,
        Client(endpoint) as client,
        pytest.raises(errors.ReplyError, match="come back later") as caught,
    ):
        client.meta()
    assert ("EXHAUSTED", 20) == (caught.value.code, caught.value.retry_after_ms)


def test_answer_in_another_protocol_is_a_protocol_error(socket_folder: Path) -> None:
    """A client that reached the wrong socket says so."""
    with (
        scripted(socket_folder, lambda _frames: [[b"hello"]]) as endpoint,
        Client(endpoint) as client,
        pytest.raises(errors.ProtocolError, match="OIPZ1"),
    ):
        client.meta()
