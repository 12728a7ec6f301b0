"""Raw samples and streams of them, over real sockets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pytest
import zmq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adaspring.app.signature import raw_input
from adaspring.errors import ConfigError, ProtocolError
from adaspring.features import ImageSpec, InertialSpec, LogMelSpec, Preprocessing, build_pipeline
from adaspring.serve import protocol
from adaspring.serve.lane import Lane
from adaspring.serve.protocol import ModelSignature
from adaspring.serve.streams import IDLE_S, MOST_OF_A_CLIENT, Streams

if TYPE_CHECKING:
    from tests.conftest import RunningPlane, ToySubnet
    from tests.serve.conftest import RawClient, RawReply

Serve: TypeAlias = "Callable[..., RunningPlane]"
Connect: TypeAlias = "Callable[..., RawClient]"

INERTIAL = InertialSpec(rate_hz=50.0, samples=16)
LOG_MEL = LogMelSpec(rate_hz=8000.0, samples=1600, frame=400, hop=200, bands=8, low_hz=50.0, high_hz=4000.0)
IMAGE = ImageSpec(height=6, width=4, mean=(10.0, 20.0, 30.0))


def served(spec: Preprocessing) -> dict[str, Any]:
    """Options of a data plane whose toy subnet answers with the first row of its input."""
    pipeline = build_pipeline(spec)
    outputs = int(np.prod(pipeline.shape[1:]))
    model = ModelSignature("toy", "1", "x", pipeline.shape, "logits", outputs, (), raw=raw_input(spec, pipeline))
    return {"model": model, "pipeline": pipeline}


def motion(samples: int, seed: int = 0) -> npt.NDArray[np.float32]:
    """Samples of an inertial sensor."""
    return np.random.default_rng(seed).standard_normal((samples, 6), dtype=np.float32)


def outputs(reply: RawReply) -> npt.NDArray[np.float32]:
    """Values of the first tensor."""
    return np.frombuffer(reply.tensors[0], "<f4")


def opened(client: RawClient, stream_id: str = "imu", **parameters: Any) -> RawReply:
    """Open a stream."""
    return client.ask(protocol.encode_open(stream_id, **({"hop": 8} | parameters)))


def push(client: RawClient, samples: npt.NDArray[Any], first_sample: int | None = None, stream_id: str = "imu") -> None:
    """Push a piece."""
    client.send(protocol.encode_push(stream_id, samples, first_sample))


@pytest.mark.parametrize("spec", [INERTIAL, LOG_MEL, IMAGE])
def test_raw_samples_are_preprocessed_as_in_training(
    serve_toy: Serve, raw_client: Connect, spec: Preprocessing
) -> None:
    """What the sensor gives is answered as its features are, and META tells what may be sent."""
    options = served(spec)
    raw = options["pipeline"].raw
    client = raw_client(serve_toy(**options).endpoint)
    told = client.ask(protocol.encode_query(protocol.META, "1")).header["parameters"]["preprocessing"]
    assert ("raw", protocol.datatype_of(np.dtype(raw.dtype))) == (told["name"], told["datatype"])
    rng = np.random.default_rng(0)
    batch = (100 * rng.standard_normal((2, *raw.shape))).astype(raw.dtype)
    reply = client.ask(protocol.encode_infer("2", "toy", "raw", batch))
    expected = np.stack([options["pipeline"].window(window)[0] for window in batch])
    np.testing.assert_array_equal(expected.reshape(-1), outputs(reply))
    assert reply.header["parameters"]["preprocess_us"] >= 0
    ready = client.ask(protocol.encode_infer("3", "toy", "x", options["pipeline"].window(batch[0])[None]))
    np.testing.assert_array_equal(expected[0].reshape(-1), outputs(ready))
    assert "preprocess_us" not in ready.header["parameters"]


def test_images_of_any_size_are_resized_within_bounds(serve_toy: Serve, raw_client: Connect) -> None:
    """A camera need not know the size of the network's input."""
    options = served(IMAGE)
    client = raw_client(serve_toy(**options).endpoint)
    image = np.random.default_rng(0).integers(0, 256, (30, 20, 3)).astype(np.uint8)
    reply = client.ask(protocol.encode_infer("1", "toy", "raw", image[None]))
    np.testing.assert_array_equal(options["pipeline"].window(image)[0].reshape(-1), outputs(reply))
    refused = client.ask(protocol.encode_infer("2", "toy", "raw", np.zeros((1, 9000, 1, 3), np.uint8)))
    assert ("INVALID_ARG", True) == (refused.header["code"], "1 to 8192" in refused.header["error"])


def test_raw_samples_that_do_not_fit_are_refused(serve_toy: Serve, raw_client: Connect) -> None:
    """Another type, another shape, and values that are no numbers."""
    client = raw_client(serve_toy(**served(INERTIAL)).endpoint)
    bad = np.full((1, 16, 6), np.nan, dtype=np.float32)
    for batch, word in ((np.zeros((1, 16, 6), np.int16), "FP32"), (bad[:, :4], "[n, 16, 6]"), (bad, "finite")):
        refused = client.ask(protocol.encode_infer("1", "toy", "raw", batch))
        assert ("INVALID_ARG", True) == (refused.header["code"], word in refused.header["error"])
    rejected = client.statistics()["rejected"]
    assert (1, 1, 1) == (rejected["datatype"], rejected["shape"], rejected["samples"])


def test_raw_samples_may_share_a_batch_with_one_that_is_refused(
    serve_toy: Serve, raw_client: Connect, toy_subnet: type[ToySubnet]
) -> None:
    """Only the request whose samples are none fails."""
    subnet = toy_subnet(held=True)
    options = served(INERTIAL)
    plane = serve_toy(subnet, **options)
    plane.lane.batch_by({2: 1.2, 4: 1.4})
    client = raw_client(plane.endpoint)
    raw = motion(16)[None]
    subnet.permits.release()
    client.ask(protocol.encode_infer("first", "toy", "raw", raw))
    client.send(protocol.encode_infer("running", "toy", "raw", raw))
    assert subnet.started.acquire(timeout=5)
    assert subnet.started.acquire(timeout=5)
    for request_id, batch in (("1", raw), ("2", raw * np.nan), ("3", raw), ("4", raw)):
        client.send(protocol.encode_infer(request_id, "toy", "raw", batch))
    client.send(protocol.encode_query(protocol.LIVE, "last"))
    subnet.permits.release(10)
    replies = {reply.header["id"]: reply for reply in (client.receive() for _ in range(6))}
    assert [b"OK", b"ERR", b"OK", b"OK"] == [replies[request_id].type for request_id in "1234"]
    expected = options["pipeline"].window(raw[0])[0]
    np.testing.assert_array_equal(expected, outputs(replies["4"]))


@pytest.fixture
def inertial_client(serve_toy: Serve, raw_client: Connect) -> RawClient:
    """A client of a plane with inertial preprocessing."""
    return raw_client(serve_toy(queue_size=400, **served(INERTIAL)).endpoint)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, 200), max_size=6).map(sorted), hop=st.integers(1, 40))
def test_windows_match_the_features_of_the_whole_recording(
    inertial_client: RawClient, cuts: list[int], hop: int
) -> None:
    """However a recording is cut into pieces, and whatever the hop: filters keep their state."""
    recording = motion(200)
    client = inertial_client
    features = build_pipeline(INERTIAL).stream().push(recording)
    expected = [features[0, first : first + 16] for first in range(0, 200 - 16 + 1, hop)]
    assert opened(client, hop=hop).type == b"OK"
    for piece in np.split(recording, cuts):
        if len(piece):
            # A piece completes at most 64 windows.
            for part in np.split(piece, range(60, len(piece), 60)):
                push(client, part)
    results = [client.receive() for _ in expected]
    assert {b"RESULT"} == {reply.type for reply in results}
    told = [reply.header["parameters"] for reply in results]
    assert list(range(1, len(expected) + 1)) == [parameters["sequence"] for parameters in told]
    assert [hop * index for index in range(len(expected))] == [parameters["first_sample"] for parameters in told]
    assert not any("gap" in parameters for parameters in told)
    np.testing.assert_allclose(np.stack(expected), np.stack([outputs(reply) for reply in results]), atol=1e-6)
    closed = client.ask(protocol.encode_close("imu")).header
    assert {"id": "imu", "windows": len(expected), "dropped": 0} == closed


def test_sound_is_windowed_by_its_frames(serve_toy: Serve, raw_client: Connect) -> None:
    """A window of a stream of sound is the spectrogram of just those samples."""
    options = served(LOG_MEL)
    client = raw_client(serve_toy(**options).endpoint)
    sound = np.random.default_rng(0).integers(-9000, 9000, 4000).astype(np.int16)
    assert opened(client, "mic", hop=400).header["input"]["hop"] == 200
    for piece in np.split(sound, [150, 151, 2700]):
        push(client, piece, stream_id="mic")
    for first in range(0, 4000 - 1600 + 1, 400):
        reply = client.receive()
        expected = options["pipeline"].window(sound[first : first + 1600])[0]
        assert first == reply.header["parameters"]["first_sample"]
        np.testing.assert_allclose(expected, outputs(reply), atol=1e-5)
    refused = opened(client, "other", hop=300).header
    assert ("INVALID_ARG", True) == (refused["code"], "multiple of 200" in refused["error"])


def test_gaps_are_told_and_no_window_spans_one(inertial_client: RawClient) -> None:
    """Behind a gap the stream starts anew: as if the first sample had been there for ever."""
    client, recording = inertial_client, motion(100)
    opened(client, hop=16)
    push(client, recording[:20], 1000)
    push(client, recording[40:72], 1040)
    push(client, recording[72:80])
    results = [client.receive() for _ in range(3)]
    told = [reply.header["parameters"] for reply in results]
    assert [(1, 1000, 0), (2, 1040, 20), (3, 1056, 0)] == [
        (parameters["sequence"], parameters["first_sample"], parameters.get("gap", 0)) for parameters in told
    ]
    behind = build_pipeline(INERTIAL).stream().push(recording[40:72])
    np.testing.assert_allclose(behind[0, :16], outputs(results[1]), atol=1e-6)
    push(client, recording[:8], 1070)
    refused = client.receive().header
    assert ("imu", "INVALID_ARG", True) == (refused["id"], refused["code"], "before 1080" in refused["error"])
    push(client, np.full((1, 6), np.nan, dtype=np.float32), 1080)
    assert "finite" in client.receive().header["error"]
    push(client, recording[:16], 1081)
    parameters = client.receive().header["parameters"]
    assert (1081, 1) == (parameters["first_sample"], parameters["gap"])


def test_window_without_a_result_is_told_by_its_number(
    serve_toy: Serve, raw_client: Connect, toy_subnet: type[ToySubnet]
) -> None:
    """A full queue, a deadline, and what CLOSE drops."""
    subnet = toy_subnet(held=True)
    plane = serve_toy(subnet, queue_size=3, **served(INERTIAL))
    client = raw_client(plane.endpoint)
    opened(client, hop=16)
    push(client, motion(16))
    assert subnet.started.acquire(timeout=5)
    push(client, motion(16 * 5))
    push(client, motion(3))
    subnet.permits.release(2)
    replies = [client.receive() for _ in range(4)]
    refused = {reply.header["sequence"]: reply.header["code"] for reply in replies if reply.type == b"ERR"}
    assert {5: "UNAVAILABLE", 6: "UNAVAILABLE"} == refused
    assert [1, 2] == [reply.header["parameters"]["sequence"] for reply in replies if reply.type == b"RESULT"]
    client.send(protocol.encode_close("imu"))
    subnet.permits.release(10)
    after = [client.receive()]
    while after[-1].type != b"OK":
        after.append(client.receive())
    assert (6, 2) == (after[-1].header["windows"], after[-1].header["dropped"] + len(after) - 1)
    statistics = client.statistics()
    assert (after[-1].header["dropped"], 0) == (statistics["cancelled"], statistics["streams"])


def test_streams_that_cannot_be_are_refused(serve_toy: Serve, raw_client: Connect) -> None:
    """The sentence says what to do instead."""
    plane = serve_toy(**served(INERTIAL))
    client = raw_client(plane.endpoint)
    cases = [
        (protocol.encode_open("imu", hop=8, window=99), "INVALID_ARG", "windows of 16"),
        (protocol.encode_open("", hop=8), "INVALID_ARG", "length >= 1"),
        (protocol.encode_open("imu", hop=8, model_name="har"), "NOT_FOUND", "'toy'"),
        (protocol.encode_push("nobody", motion(8), None), "NOT_FOUND", "open it"),
        (protocol.encode_close("nobody"), "NOT_FOUND", "open it"),
        ([*protocol.encode_close("imu"), b"x"], "INVALID_ARG", "no tensors"),
        ([*protocol.encode_open("imu", hop=8), b"x"], "INVALID_ARG", "no tensors"),
    ]
    for frames, code, words in cases:
        refused = client.ask(frames).header
        assert (code, True) == (refused["code"], words in refused["error"])
    opened(client, hop=1)
    assert "open already" in opened(client).header["error"]
    push(client, motion(65))
    assert "push fewer" in client.receive().header["error"]
    req = raw_client(plane.endpoint, zmq.REQ)
    assert "DEALER" in opened(req).header["error"]
    for index in range(1, MOST_OF_A_CLIENT):
        assert opened(client, str(index)).type == b"OK"
    assert "UNAVAILABLE" == opened(client, "one more").header["code"]
    assert opened(raw_client(plane.endpoint)).type == b"OK"


def test_model_without_preprocessing_takes_no_stream(serve_toy: Serve, raw_client: Connect) -> None:
    """It says what to send instead; so does one whose samples are no stream."""
    refused = opened(raw_client(serve_toy().endpoint)).header
    assert ("UNSUPPORTED", True) == (refused["code"], "INFER" in refused["error"])
    unused: Any = None
    with pytest.raises(ConfigError, match="pipeline"):
        Lane(served(INERTIAL)["model"], unused)


def test_idle_streams_are_forgotten() -> None:
    """Those of clients that died without a word; what is pushed to lives on."""
    options = served(INERTIAL)
    times: Iterator[float] = iter([0.0, 0.0, IDLE_S - 1, IDLE_S + 1])
    streams = Streams(lambda: next(times))
    header = protocol.OpenHeader("imu", protocol.StreamParameters(8))
    for client in (b"dead", b"alive"):
        streams.open(client, header, options["model"], options["pipeline"])
    streams.push(b"alive", protocol.Piece("imu", motion(3), None), 64)
    streams.forget_idle()
    assert 1 == len(streams)
    with pytest.raises(ProtocolError, match="open it"):
        streams.close(b"dead", "imu")
