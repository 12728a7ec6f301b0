"""Other servers around the same onnxruntime session: MLServer and plain FastAPI, each in a process of its own.

Run as ``python -m benchmarks.rivals KIND BUNDLE SUBNET PORT``. KIND is ``fastapi`` or ``mlserver``, which serves gRPC
on the port behind its own. Needs the packages of the extra ``comparison``.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from subprocess import DEVNULL, Popen
from typing import Any, NamedTuple

import fastapi
import mlserver
import numpy as np
import numpy.typing as npt
import pydantic
import uvicorn
from mlserver.codecs import NumpyCodec
from mlserver.settings import ModelParameters

from adaspring.bundle import load_bundle
from adaspring.engine import Subnet, make_engine


@contextmanager
def rival(kind: str, bundle: Path, subnet: str, port: int) -> Iterator[Popen[bytes]]:
    """Run a server beside the block; whether it answers yet is for the caller to find out."""
    command = [sys.executable, "-m", "benchmarks.rivals", kind, str(bundle), subnet, str(port)]
    process = Popen(command, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@lru_cache(maxsize=1)
def session(bundle: str, subnet: str) -> Subnet:
    """The session that ours computes with."""
    loaded = load_bundle(Path(bundle))
    return make_engine("onnxruntime", loaded).prepare(loaded.space.parse(subnet)).subnet


class _Tensor(pydantic.BaseModel):  # type: ignore[misc] # its package is not there where types are checked
    name: str
    datatype: str
    shape: list[int]
    data: list[float]


class _Request(pydantic.BaseModel):  # type: ignore[misc] # its package is not there where types are checked
    id: str = ""
    inputs: list[_Tensor]


def fastapi_app(subnet: Subnet, shape: tuple[int, ...]) -> fastapi.FastAPI:
    """Two routes: JSON as the Open Inference Protocol has it, and the least that FastAPI can do: bytes in, JSON out.

    The session runs on the event loop: a pool of threads would cost more than it computes.
    """
    app = fastapi.FastAPI()

    def answered(x: npt.NDArray[np.float32]) -> dict[str, Any]:
        y = subnet.run(x)
        output = {"name": "logits", "datatype": "FP32", "shape": list(y.shape), "data": y.ravel().tolist()}
        return {"model_name": "har", "outputs": [output]}

    @app.post("/v2/models/har/infer")  # type: ignore[untyped-decorator]
    async def infer(request: _Request) -> dict[str, Any]:
        tensor = request.inputs[0]
        return answered(np.array(tensor.data, dtype=np.float32).reshape(tensor.shape))

    @app.post("/raw")  # type: ignore[untyped-decorator]
    async def raw(request: fastapi.Request) -> fastapi.Response:
        x = np.frombuffer(await request.body(), dtype=np.float32).reshape(-1, *shape)
        return fastapi.responses.JSONResponse(answered(x))

    return app


class Runtime(mlserver.MLModel):  # type: ignore[misc] # its package is not there where types are checked
    """The session as a runtime of MLServer."""

    async def load(self) -> bool:
        """Build it."""
        extra = self.settings.parameters.extra
        self._subnet = session(extra["bundle"], extra["subnet"])
        return True

    async def predict(self, payload: Any) -> Any:
        """Answer one request."""
        y = self._subnet.run(NumpyCodec.decode_input(payload.inputs[0]))
        outputs = [NumpyCodec.encode_output("logits", y)]
        return mlserver.types.InferenceResponse(id=payload.id, model_name=self.name, outputs=outputs)


class Port(NamedTuple):
    """Where MLServer serves HTTP; gRPC and its metrics are on the ports behind."""

    http: int

    @property
    def grpc(self) -> int:
        """Of gRPC."""
        return self.http + 1


async def _serve_mlserver(bundle: str, subnet: str, port: Port) -> None:
    settings = mlserver.Settings(
        host="127.0.0.1",
        http_port=port.http,
        grpc_port=port.grpc,
        # In its own process: workers would add a queue between processes to each request.
        parallel_workers=0,
        metrics_port=port.grpc + 1,
        debug=False,
    )
    parameters = ModelParameters(extra={"bundle": bundle, "subnet": subnet})
    model = mlserver.ModelSettings(name="har", implementation=Runtime, parameters=parameters)
    await mlserver.MLServer(settings).start([model])


def main() -> None:
    """Serve until the process is ended."""
    kind, bundle, subnet, port = sys.argv[1:]
    if kind == "mlserver":
        asyncio.run(_serve_mlserver(bundle, subnet, Port(int(port))))
        return
    shape = load_bundle(Path(bundle)).manifest.input.shape
    app = fastapi_app(session(bundle, subnet), shape)
    uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
