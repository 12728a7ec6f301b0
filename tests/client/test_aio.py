"""The asyncio client against a real data plane."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pytest
import zmq
import zmq.asyncio

from adaspring import errors
from adaspring.client import AsyncClient, Result

if TYPE_CHECKING:
    from tests.client.conftest import Dying
    from tests.conftest import RunningPlane, ToySubnet

ServeToy: TypeAlias = "Callable[..., RunningPlane]"

SAMPLE = np.array([[1, -2, 0.5], [0, 0, 0]], dtype=np.float32)


async def in_thread(action: Callable[[], object]) -> None:
    """Do something that blocks, without holding the event loop up."""
    await asyncio.get_running_loop().run_in_executor(None, action)


async def test_many_requests_are_matched_by_id(serve_toy: ServeToy) -> None:
    """Requests under way at once each get their own answer."""
    async with AsyncClient(serve_toy().endpoint) as client:
        results = await asyncio.gather(*(client.infer(SAMPLE * index) for index in range(50)))
    for index, result in enumerate(results):
        np.testing.assert_array_equal([SAMPLE[0] * index], result.outputs)


async def test_queries(serve_toy: ServeToy) -> None:
    """Liveness, readiness, metadata and counters, at once with inference."""
    async with AsyncClient(serve_toy().endpoint, model="toy") as client:
        live, ready, metadata, result = await asyncio.gather(
            client.live(), client.ready(), client.meta(), client.infer(SAMPLE)
        )
        assert (True, True, "toy", "low") == (live, ready, metadata.name, result.label)
        assert (await client.stats()).answered == 1


async def test_errors_are_typed_and_reach_who_asked(serve_toy: ServeToy) -> None:
    """One bad request among good ones fails alone."""
    async with AsyncClient(serve_toy().endpoint) as client:
        good, bad = await asyncio.gather(client.infer(SAMPLE), client.infer(np.zeros((3, 3))), return_exceptions=True)
    assert isinstance(good, Result)
    assert isinstance(bad, errors.InvalidArgumentError)


async def test_cancel_by_id(serve_toy: ServeToy, toy_subnet: type[ToySubnet]) -> None:
    """Who waits for a cancelled request gets our CancelledError; what runs already is not cancelled."""
    subnet = toy_subnet(held=True)
    async with AsyncClient(serve_toy(subnet).endpoint) as client:
        await client.meta()
        running = asyncio.create_task(client.infer(SAMPLE, request_id="running"))
        await in_thread(subnet.started.acquire)
        waiting = asyncio.create_task(client.infer(SAMPLE, request_id="waiting"))
        await asyncio.sleep(0)
        cancels = [asyncio.create_task(client.cancel(request_id)) for request_id in ("waiting", "running")]
        await asyncio.sleep(0.15)
        subnet.permits.release(10)
        assert [True, False] == [await cancel for cancel in cancels]
        assert (await running).label == "low"
        with pytest.raises(errors.CancelledError):
            await waiting


async def test_cancelled_task_cancels_its_request(serve_toy: ServeToy, toy_subnet: type[ToySubnet]) -> None:
    """The daemon does not compute what no task waits for."""
    subnet = toy_subnet(held=True)
    plane = serve_toy(subnet)
    async with AsyncClient(plane.endpoint) as client:
        await client.meta()
        running = asyncio.create_task(client.infer(SAMPLE))
        await in_thread(subnet.started.acquire)
        waiting = asyncio.create_task(client.infer(SAMPLE))
        await asyncio.sleep(0.05)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await asyncio.sleep(0.1)
        subnet.permits.release(10)
        await running
        statistics = await client.stats()
    assert (1, 1) == (statistics.cancelled, statistics.answered)


async def test_id_under_way_cannot_be_used_again(serve_toy: ServeToy) -> None:
    """Two requests of one id could not be told apart."""
    async with AsyncClient(serve_toy().endpoint) as client:
        await client.meta()
        first, second = await asyncio.gather(
            client.infer(SAMPLE, request_id="x"), client.infer(SAMPLE, request_id="x"), return_exceptions=True
        )
        assert isinstance(first, Result)
        assert isinstance(second, errors.ProtocolError)
        assert (await client.infer(SAMPLE, request_id="x")).label == "low"


async def test_nobody_there_is_a_connect_error(socket_folder: Path) -> None:
    """As with the blocking client."""
    async with AsyncClient(f"ipc://{socket_folder}/infer.sock", timeout_s=0.02, retries=1) as client:
        with pytest.raises(errors.ConnectError, match="No such file"):
            await client.infer(SAMPLE)
        assert (False, False) == (await client.live(), await client.ready())


async def test_answer_in_another_protocol_is_a_protocol_error(socket_folder: Path) -> None:
    """Everybody who waits on a connection to the wrong socket learns it."""
    with zmq.asyncio.Context() as context, context.socket(zmq.ROUTER) as router:
        router.linger = 0
        router.bind(f"ipc://{socket_folder}/infer.sock")
        async with AsyncClient(f"ipc://{socket_folder}/infer.sock") as client:
            asking = [asyncio.create_task(client.meta()) for _ in range(2)]
            identity, *_ = await router.recv_multipart()
            await router.send_multipart([identity, b"hello"])
            for task in asking:
                with pytest.raises(errors.ProtocolError, match="OIPZ1"):
                    await task


async def test_restart_of_the_daemon_goes_unnoticed(serve_toy: ServeToy) -> None:
    """All requests under way are answered by the daemon that comes back."""
    first = serve_toy()
    async with AsyncClient(first.endpoint, timeout_s=0.25, retries=20) as client:
        await client.infer(SAMPLE)
        await in_thread(first.stop)
        asking = asyncio.gather(*(client.infer(SAMPLE) for _ in range(5)))
        await asyncio.sleep(0.05)
        serve_toy()
        assert ["low"] * 5 == [result.label for result in await asking]


async def test_who_comes_after_a_daemon_that_died_is_asked_at_once(serve_toy: ServeToy, dying: Dying) -> None:
    """What was sent to it is lost; nobody waits until time is up to ask again."""
    async with AsyncClient(dying.endpoint, timeout_s=60.0, retries=1) as client:
        asking = [asyncio.create_task(client.infer(SAMPLE)) for _ in range(3)]
        await in_thread(dying.die)
        serve_toy()
        results = await asyncio.wait_for(asyncio.gather(*asking), 20)
        assert ["low"] * 3 == [result.label for result in results]


async def test_slow_request_does_not_cost_others_their_connection(
    serve_toy: ServeToy, toy_subnet: type[ToySubnet]
) -> None:
    """A timeout on a connection that is heard of resends, and the late answer counts."""
    subnet = toy_subnet(held=True)
    plane = serve_toy(subnet)
    async with AsyncClient(plane.endpoint, timeout_s=0.15, retries=10) as client:
        await client.meta()
        asking = asyncio.create_task(client.infer(SAMPLE, timeout_us=10_000_000))
        await in_thread(subnet.started.acquire)
        await asyncio.sleep(0.3)
        subnet.permits.release(100)
        assert (await asking).label == "low"


async def test_close_cancels_what_is_under_way(serve_toy: ServeToy, toy_subnet: type[ToySubnet]) -> None:
    """Nobody is left waiting for a closed client."""
    subnet = toy_subnet(held=True)
    client = AsyncClient(serve_toy(subnet).endpoint)
    await client.meta()
    asking = asyncio.create_task(client.infer(SAMPLE))
    await in_thread(subnet.started.acquire)
    client.close()
    with pytest.raises(asyncio.CancelledError):
        await asking
    subnet.permits.release(10)
