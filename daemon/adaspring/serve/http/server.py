"""An HTTP server on a loopback address that hands requests to the data plane.

Each connection has a thread; between it and the data thread lies a socket, no lock.
"""

from __future__ import annotations

import ipaddress
import re
import threading
from collections.abc import Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
import zmq

import adaspring
from adaspring.errors import ConfigError, ProtocolError
from adaspring.serve.http.bodies import decode_inference, encode_inference
from adaspring.serve.protocol import ERR, LIVE, MAGIC, META, READY, Limits, ModelSignature

#: Connections at once; one more is told to come again.
MOST_CONNECTIONS = 32
#: A connection that is silent for so long is closed, in seconds.
IDLE_S = 30.0
#: How long the data plane may take; a deadline of the request ends it sooner.
ANSWER_MS = 30_000

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


class HttpServer(ThreadingHTTPServer):
    """Serves until `close`; `start` it once the data plane is bound."""

    daemon_threads = True
    block_on_close = False

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        address: str,
        backend: str,
        models: Sequence[ModelSignature],
        limits: Limits,
    ) -> None:
        """Listen.

        Args:
            context: Of the data plane.
            address: Loopback address and port, for example ``"127.0.0.1:8000"``.
            backend: The inproc endpoint of the data plane.
            models: What the data plane serves.
            limits: What a message may be.

        Raises:
            ConfigError: If the address is none, or not of this machine alone.
        """
        self.limits = limits
        self.models = tuple(models)
        self._context = context
        self._backend = backend
        self._free = threading.BoundedSemaphore(MOST_CONNECTIONS)
        try:
            super().__init__(_parse_address(address), _Handler)
        except OSError as error:
            raise ConfigError(f"cannot serve HTTP on {address}: {error.strerror}; is the port taken?") from error
        self._thread = threading.Thread(target=self.serve_forever, name="http")

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Take no more connections."""
        if self._thread.is_alive():
            self.shutdown()
            self._thread.join()
        self.server_close()

    def ask(self, frames: list[bytes]) -> list[bytes]:
        """Ask the data plane, and wait for its answer.

        Raises:
            zmq.ZMQError: If none comes.
        """
        with self._context.socket(zmq.DEALER) as socket:
            socket.linger = 0
            socket.rcvtimeo = socket.sndtimeo = ANSWER_MS
            socket.connect(self._backend)
            socket.send_multipart(frames)
            return socket.recv_multipart()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give a connection a thread, if there is one left."""
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            request.sendall(b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n")
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection to its end."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Do nothing: a connection that broke concerns its client alone."""


class _Handler(BaseHTTPRequestHandler):
    server: HttpServer
    protocol_version = "HTTP/1.1"
    server_version = f"adaspring/{adaspring.__version__}"
    timeout = IDLE_S
    # An answer leaves in one piece and at once: in two, the second would wait until the client
    # has acknowledged the first, which it does 40 ms later.
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        if self.path == "/v2":
            self._answer(
                HTTPStatus.OK,
                {"name": "adaspring", "version": adaspring.__version__, "extensions": ["binary_tensor_data"]},
            )
        elif self.path == "/v2/health/live":
            self._query(LIVE, "", "live")
        elif self.path == "/v2/health/ready":
            self._query(READY, "", "ready")
        elif (match := _MODEL.fullmatch(self.path)) and match["rest"] != "/infer":
            self._query(READY if match["rest"] else META, match["model"], "ready" if match["rest"] else None)
        else:
            self._answer(HTTPStatus.NOT_FOUND, {"error": f"there is nothing at {self.path}"})

    def do_POST(self) -> None:
        body = self._body()
        if body is None:
            return
        if self.path == "/v2/repository/index":
            index = [{"name": model.name, "version": model.version, "state": "READY"} for model in self.server.models]
            self._send(HTTPStatus.OK, msgspec.json.encode(index), {})
            return
        match = _MODEL.fullmatch(self.path)
        if match is None or match["rest"] != "/infer":
            self._answer(HTTPStatus.NOT_FOUND, {"error": f"there is nothing to post to at {self.path}"})
            return
        json_bytes = self.headers.get(_JSON_LENGTH, str(len(body)))
        if not json_bytes.isdecimal() or int(json_bytes) > len(body):
            self._answer(HTTPStatus.BAD_REQUEST, {"error": f"{_JSON_LENGTH} is {json_bytes}; the body has {len(body)}"})
            return
        try:
            inference = decode_inference(
                body, int(json_bytes), match["model"], match["version"] or "", self.server.limits
            )
        except ProtocolError as error:
            self._answer(_STATUS[error.code], {"error": str(error)})
            return
        reply = self._ask(inference.frames)
        if reply is not None:
            content, length = encode_inference(reply[2], reply[3:], binary=inference.binary)
            self._send(HTTPStatus.OK, content, {} if length is None else {_JSON_LENGTH: str(length)})

    def _query(self, kind: bytes, model: str, flag: str | None) -> None:
        """Answer with the header of a reply, or by status where it tells but one truth."""
        reply = self._ask([MAGIC, kind, msgspec.json.encode({"model_name": model})])
        if reply is None:
            return
        header = msgspec.json.decode(reply[2])
        if flag is None:
            del header["id"]
            self._answer(HTTPStatus.OK, header)
        else:
            self._send(HTTPStatus.OK if header[flag] else HTTPStatus.SERVICE_UNAVAILABLE, b"", {})

    def _ask(self, frames: list[bytes]) -> list[bytes] | None:
        """The data plane's OK; None where the client was told of an error."""
        try:
            reply = self.server.ask(frames)
        except zmq.ZMQError:
            self._answer(HTTPStatus.SERVICE_UNAVAILABLE, {"error": "the daemon is stopping or stuck; try again"})
            return None
        if reply[1] != ERR:
            return reply
        header = msgspec.json.decode(reply[2])
        status = _STATUS.get(header["code"], HTTPStatus.INTERNAL_SERVER_ERROR)
        retry_ms = header.get("retry_after_ms")
        more = {} if retry_ms is None else {"Retry-After": str(-(-retry_ms // 1000))}
        self._send(status, msgspec.json.encode({"error": header["error"]}), more)
        return None

    def _body(self) -> bytes | None:
        length = self.headers.get("Content-Length", "")
        most = self.server.limits.message_bytes
        if not length.isdecimal() or int(length) > most or self.headers.get("Content-Encoding"):
            # What is left of the body cannot be told from a next request.
            self.close_connection = True
            self._answer(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                {"error": f"send a plain body with its Content-Length, at most {most} bytes"},
            )
            return None
        return self.rfile.read(int(length))

    def _answer(self, status: HTTPStatus, body: dict[str, Any]) -> None:
        self._send(status, msgspec.json.encode(body), {})

    def _send(self, status: HTTPStatus, content: bytes, more: dict[str, str]) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/octet-stream" if _JSON_LENGTH in more else "application/json")
        self.send_header("Content-Length", str(len(content)))
        for name, value in more.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_arguments: Any) -> None:
        """Do nothing: refusals are counted by the data plane."""


def _parse_address(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    try:
        loopback = ipaddress.IPv4Address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback or not port.isdecimal():
        raise ConfigError(
            f"serve.http is {address!r}; expected a loopback address and a port, for example 127.0.0.1:8000:"
            " HTTP knows no access control here"
        )
    return host, int(port)
