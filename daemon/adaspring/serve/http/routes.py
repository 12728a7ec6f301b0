"""What the Open Inference Protocol v2 has at which path, asked of the data plane."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus

import h11
import msgspec
import zmq

import adaspring
from adaspring.errors import ProtocolError
from adaspring.serve.http.bodies import decode_inference, encode_inference
from adaspring.serve.http.messages import HttpError, Response, error
from adaspring.serve.protocol import ERR, LIVE, MAGIC, META, READY, Limits, ModelSignature

#: Sends frames of OIP/Z 1 and gives those of the answer.
Ask = Callable[[list[bytes]], Awaitable[list[bytes]]]

_MODEL = re.compile(r"/v2/models/(?P<model>[^/]+)(?:/versions/(?P<version>[^/]+))?(?P<rest>/ready|/infer)?")
_STATUS = {
    "INVALID_ARG": HTTPStatus.BAD_REQUEST,
    "NOT_FOUND": HTTPStatus.NOT_FOUND,
    "UNAVAILABLE": HTTPStatus.SERVICE_UNAVAILABLE,
    "DEADLINE_EXCEEDED": HTTPStatus.GATEWAY_TIMEOUT,
    "CANCELLED": HTTPStatus.CONFLICT,
    "UNSUPPORTED": HTTPStatus.NOT_IMPLEMENTED,
}
_JSON_LENGTH = "Inference-Header-Content-Length"
_LENGTH = re.compile(rb"[0-9]{1,18}")


class Routes:
    """Answers requests of HTTP whose bodies are there."""

    def __init__(self, models: Sequence[ModelSignature], limits: Limits) -> None:
        """Answer for some models.

        Args:
            models: What the data plane serves.
            limits: What a message may be.
        """
        self._limits = limits
        self._index = [{"name": model.name, "version": model.version, "state": "READY"} for model in models]

    async def answer(self, request: h11.Request, body: bytes, ask: Ask) -> Response:
        """Answer a request.

        Args:
            request: Its head.
            body: Its body.
            ask: Asks the data plane.

        Raises:
            HttpError: If the Open Inference Protocol has nothing there.
            ProtocolError: If the body is not as it says.
            zmq.Again: If the data plane does not answer.
        """
        method, path = request.method.decode("ascii"), request.target.decode("ascii")
        if method == "GET":
            return await self._get(path, ask)
        if method == "POST":
            json_bytes = dict(request.headers).get(_JSON_LENGTH.lower().encode(), b"%d" % len(body))
            return await self._post(path, body, json_bytes, ask)
        raise HttpError(HTTPStatus.METHOD_NOT_ALLOWED, f"{method} is not spoken here", {"Allow": "GET, POST"})

    async def _get(self, path: str, ask: Ask) -> Response:
        if path == "/v2":
            server = {"name": "adaspring", "version": adaspring.__version__, "extensions": ["binary_tensor_data"]}
            return Response(HTTPStatus.OK, msgspec.json.encode(server))
        if path == "/v2/health/live":
            return await _whether(ask, LIVE, "", "live")
        if path == "/v2/health/ready":
            return await _whether(ask, READY, "", "ready")
        match = _MODEL.fullmatch(path)
        if match is None or match["rest"] == "/infer":
            raise HttpError(HTTPStatus.NOT_FOUND, f"there is nothing at {path}")
        if match["rest"]:
            return await _whether(ask, READY, match["model"], "ready")
        reply = await ask(_query(META, match["model"]))
        if reply[1] == ERR:
            return _refused(reply)
        header = msgspec.json.decode(reply[2])
        del header["id"]
        return Response(HTTPStatus.OK, msgspec.json.encode(header))

    async def _post(self, path: str, body: bytes, json_bytes: bytes, ask: Ask) -> Response:
        if path == "/v2/repository/index":
            return Response(HTTPStatus.OK, msgspec.json.encode(self._index))
        match = _MODEL.fullmatch(path)
        if match is None or match["rest"] != "/infer":
            raise HttpError(HTTPStatus.NOT_FOUND, f"there is nothing to post to at {path}")
        if _LENGTH.fullmatch(json_bytes) is None or int(json_bytes) > len(body):
            raise HttpError(HTTPStatus.BAD_REQUEST, f"{_JSON_LENGTH} is no length within the body of {len(body)} bytes")
        inference = decode_inference(body, int(json_bytes), match["model"], match["version"] or "", self._limits)
        reply = await ask(inference.frames)
        if reply[1] == ERR:
            return _refused(reply)
        content, length = encode_inference(reply[2], reply[3:], binary=inference.binary)
        if length is None:
            return Response(HTTPStatus.OK, content)
        return Response(HTTPStatus.OK, content, {_JSON_LENGTH: str(length)}, "application/octet-stream")


def told(raised: ProtocolError | zmq.Again) -> Response:
    """The answer to what could not be asked, or got no answer."""
    if isinstance(raised, ProtocolError):
        return error(_STATUS[raised.code], str(raised))
    return error(HTTPStatus.SERVICE_UNAVAILABLE, "the daemon is stopping or stuck; try again", {"Retry-After": "1"})


def _query(kind: bytes, model: str) -> list[bytes]:
    return [MAGIC, kind, msgspec.json.encode({"model_name": model})]


async def _whether(ask: Ask, kind: bytes, model: str, flag: str) -> Response:
    """An answer by status alone."""
    reply = await ask(_query(kind, model))
    if reply[1] == ERR:
        return _refused(reply)
    return Response(HTTPStatus.OK if msgspec.json.decode(reply[2])[flag] else HTTPStatus.SERVICE_UNAVAILABLE)


def _refused(reply: list[bytes]) -> Response:
    """What the data plane refused, or failed at."""
    header = msgspec.json.decode(reply[2])
    retry_ms = header.get("retry_after_ms")
    headers = {} if retry_ms is None else {"Retry-After": str(-(-retry_ms // 1000))}
    return error(_STATUS.get(header["code"], HTTPStatus.INTERNAL_SERVER_ERROR), header["error"], headers)
