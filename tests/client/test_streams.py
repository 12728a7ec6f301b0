"""Raw samples, streams, batches and cancelling, with both clients."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pytest
from msgspec.structs import replace

from adaspring import errors
from adaspring.app.signature import raw_input
from adaspring.client import AsyncClient, Client, SampleStream, Window
from adaspring.engine.base import Active
from adaspring.features import InertialSpec, build_pipeline
from adaspring.serve.lane import Lane
from adaspring.serve.protocol import ModelSignature

if TYPE_CHECKING:
    from tests.conftest import RunningPlane, ToySubnet

Serve: TypeAlias = "Callable[..., RunningPlane]"

SAMPLE = np.array([[1, -2, 0.5], [0, 0, 0]], dtype=np.float32)
SPEC = InertialSpec(rate_hz=50.0, samples=16)
LABELS = tuple(f"label {index}" for index in range(16))


@pytest.fixture
def inertial() -> dict[str, Any]:
    """Options of a plane that takes motion and answers with the first row of its features."""
    pipeline = build_pipeline(SPEC)
    raw = raw_input(SPEC, pipeline)
    return {"model": ModelSignature("toy", "1", "x", (9, 16), "logits", 16, LABELS, raw=raw), "pipeline": pipeline}


def motion(samples: int) -> npt.NDArray[np.float32]:
    """Samples of an inertial sensor."""
    return np.random.default_rng(0).standard_normal((samples, 6), dtype=np.float32)


def taken(stream: SampleStream, count: int) -> list[Window]:
    """So many windows."""
    windows = [stream.next(5.0) for _ in range(count)]
    return [window for window in windows if window is not None]


def test_raw_samples_get_a_label(serve_toy: Serve, inertial: dict[str, Any]) -> None:
    """An app sends what its sensor gives; a model that takes no raw samples says so."""
    raw = motion(16)
    expected = inertial["pipeline"].window(raw)[0]
    with Client(serve_toy(**inertial).endpoint) as client:
        answer = client.infer(raw, raw=True)
        assert LABELS[int(expected.argmax())] == answer.label
        assert (2, 16) == client.infer(np.stack([raw, raw]), raw=True).outputs.shape


def test_a_stream_is_of_the_client_s_model(
    serve_toy: Serve, inertial: dict[str, Any], toy_subnet: type[ToySubnet]
) -> None:
    """Where several models are served, windows come from the one that the client speaks to, and so do its counters."""
    moving = replace(inertial["model"], name="moving")
    plane = serve_toy(beside=[Lane(moving, Active(toy_subnet()), inertial["pipeline"])])
    with Client(plane.endpoint, model="moving") as client, client.stream(hop=8) as stream:
        stream.push(motion(16))
        [window] = taken(stream, 1)
        assert window.sequence == 1
        assert (1, 1) == (client.stats().answered, client.stats().streams)
    with Client(plane.endpoint, model="toy") as client:
        assert (0, 0) == (client.stats().answered, client.stats().streams)


def test_model_without_preprocessing_takes_no_raw_samples(serve_toy: Serve) -> None:
    """Before anything is sent."""
    with Client(serve_toy().endpoint) as client:
        with pytest.raises(errors.UnsupportedError, match="preprocessing"):
            client.infer(SAMPLE, raw=True)
        with pytest.raises(errors.UnsupportedError, match="preprocessing"):
            client.stream(hop=8)


def test_stream_gives_windows_with_labels_numbers_and_gaps(serve_toy: Serve, inertial: dict[str, Any]) -> None:
    """In pieces of any length; requests go on beside it; nothing follows a close."""
    plane = serve_toy(**inertial)
    recording = motion(64)
    features = build_pipeline(SPEC).stream().push(recording)
    with Client(plane.endpoint) as client:
        with client.stream(hop=8) as stream:
            for piece in np.split(recording[:40], [3, 20]):
                stream.push(piece)
            assert client.infer(recording[:16], raw=True).label in LABELS
            windows = taken(stream, 4)
            assert [(index + 1, 8 * index, 0) for index in range(4)] == [
                (window.sequence, window.first_sample, window.gap) for window in windows
            ]
            for index, window in enumerate(windows):
                assert window.result is not None
                np.testing.assert_allclose(features[0, 8 * index :][:16], window.result.outputs[0], atol=1e-6)
            assert stream.next() is None
            stream.push(recording[:16], first_sample=50)
            window = taken(stream, 1)[0]
            assert (5, 50, 10) == (window.sequence, window.first_sample, window.gap)
        stream.close()
        assert 0 == client.stats().streams
        with client.stream(hop=8) as other:
            other.push(np.full((3, 6), np.nan))
            with pytest.raises(errors.InvalidArgumentError, match="finite"):
                other.next(5.0)
            other.push(np.full((3, 6), np.nan))


def test_stream_outlives_the_daemon(serve_toy: Serve, inertial: dict[str, Any]) -> None:
    """It is opened anew, and says so; samples are counted on."""
    first = serve_toy(**inertial)
    with Client(first.endpoint, timeout_s=0.5, retries=20) as client, client.stream(hop=16) as stream:
        stream.push(motion(16))
        assert 1 == taken(stream, 1)[0].sequence
        first.stop()
        serve_toy(**inertial)
        window, until_s = None, time.monotonic() + 20
        while window is None and time.monotonic() < until_s:
            stream.push(motion(16))
            window = stream.next(0.1)
        assert window is not None
        assert (1, True, True) == (window.sequence, stream.reopened >= 1, (window.first_sample or 0) >= 16)


def test_window_that_expired_is_told_by_its_number(
    serve_toy: Serve, inertial: dict[str, Any], toy_subnet: type[ToySubnet]
) -> None:
    """With the reason; a request without its haste is answered beside it."""
    subnet = toy_subnet(held=True)
    with Client(serve_toy(subnet, **inertial).endpoint) as client, client.stream(hop=16, timeout_us=1) as stream:
        computed = client.submit(motion(16), raw=True)
        assert subnet.started.acquire(timeout=5)
        stream.push(motion(32))
        time.sleep(0.1)
        subnet.permits.release(10)
        windows = taken(stream, 2)
        assert computed.result().outputs.shape == (1, 16)
    assert [(1, errors.DeadlineExceededError), (2, errors.DeadlineExceededError)] == [
        (window.sequence, type(window.error)) for window in windows
    ]


def test_many_samples_come_back_in_their_order(serve_toy: Serve) -> None:
    """With some under way at once; and when the caller stops, the rest is cancelled."""
    plane = serve_toy()
    with Client(plane.endpoint) as client:
        results = list(client.infer_many((SAMPLE * index for index in range(50)), in_flight=7))
        np.testing.assert_array_equal(np.arange(50), [answer.outputs[0, 0] for answer in results])
        few = client.infer_many(SAMPLE for _ in range(50))
        assert next(few).label == "low"
        few.close()
        assert client.infer(SAMPLE).label == "low"


def test_request_is_cancelled_by_the_blocking_client(serve_toy: Serve, toy_subnet: type[ToySubnet]) -> None:
    """One that waits is; one that is computed already is not."""
    subnet = toy_subnet(held=True)
    with Client(serve_toy(subnet).endpoint, timeout_s=5) as client:
        running = client.submit(SAMPLE)
        assert subnet.started.acquire(timeout=5)
        waiting = client.submit(SAMPLE, request_id="mine")
        with pytest.raises(errors.ProtocolError, match="under way"):
            client.submit(SAMPLE, request_id="mine")
        timer = threading.Timer(0.2, subnet.permits.release, (10,))
        timer.start()
        assert waiting.cancel()
        with pytest.raises(errors.CancelledError):
            waiting.result()
        assert (False, "low") == (running.cancel(), running.result().label)
        timer.join()


async def test_asyncio_client_streams_and_asks_for_many(serve_toy: Serve, inertial: dict[str, Any]) -> None:
    """Windows are iterated over while others ask."""
    recording = motion(80)
    features = build_pipeline(SPEC).stream().push(recording)
    async with AsyncClient(serve_toy(**inertial).endpoint) as client, client.stream(hop=8) as stream:

        async def push() -> None:
            for piece in np.split(recording, [7, 30, 31]):
                await stream.push(piece)
                await asyncio.sleep(0)

        pushing = asyncio.create_task(push())
        answers = await client.infer_many([recording[:16]] * 20, raw=True, in_flight=4)
        assert 20 == len(answers)
        count = 0
        async for window in stream:
            assert window.result is not None
            np.testing.assert_allclose(features[0, 8 * count :][:16], window.result.outputs[0], atol=1e-6)
            count += 1
            if count == 9:
                break
        await pushing
        await stream.push(np.full((1, 6), np.nan))
        with pytest.raises(errors.InvalidArgumentError, match="finite"):
            await stream.__anext__()


async def test_asyncio_stream_outlives_the_daemon(serve_toy: Serve, inertial: dict[str, Any]) -> None:
    """As the blocking one does."""
    first = serve_toy(**inertial)
    async with AsyncClient(first.endpoint, timeout_s=0.5, retries=20) as client, client.stream(hop=16) as stream:
        await stream.push(motion(16))
        assert 1 == (await stream.__anext__()).sequence
        await asyncio.get_running_loop().run_in_executor(None, first.stop)
        serve_toy(**inertial)
        following = asyncio.ensure_future(stream.__anext__())
        until_s = time.monotonic() + 20
        while not following.done() and time.monotonic() < until_s:
            await stream.push(motion(16))
            await asyncio.sleep(0.05)
        assert (1, True) == ((await following).sequence, stream.reopened >= 1)
