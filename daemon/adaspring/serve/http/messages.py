"""Requests and answers of the Open Inference Protocol over HTTP/1.1, whose bytes h11 reads and writes."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import NamedTuple

import h11
import msgspec


class HttpError(Exception):
    """A request that is answered by a status and a sentence. It stays within this package."""

    def __init__(self, status: HTTPStatus, sentence: str, headers: Mapping[str, str] | None = None) -> None:
        """Say what is wrong."""
        super().__init__(sentence)
        self.response = error(status, sentence, headers)


class Response(NamedTuple):
    """An answer.

    Attributes:
        status: Its status.
        content: Its body.
        headers: Beside `Content-Type` and `Content-Length`.
        content_type: Of the body.
    """

    status: HTTPStatus
    content: bytes = b""
    headers: Mapping[str, str] = {}
    content_type: str = "application/json"


def error(status: HTTPStatus, sentence: str, headers: Mapping[str, str] | None = None) -> Response:
    """An answer as the Open Inference Protocol tells errors."""
    return Response(status, msgspec.json.encode({"error": sentence}), headers or {})


def check_body(request: h11.Request, most_bytes: int) -> None:
    """See that the body of a request is of a known length, and not too long.

    Args:
        request: As h11 read it.
        most_bytes: How long its body may be.

    Raises:
        HttpError: If the body is not to be read; then nothing that follows can be.
    """
    if request.http_version not in {b"1.0", b"1.1"}:
        raise HttpError(HTTPStatus.BAD_REQUEST, "only HTTP/1.1 is spoken here")
    fields = dict(request.headers)
    length = fields.get(b"content-length", b"0" if request.method == b"GET" else None)
    if length is None or b"transfer-encoding" in fields:
        raise HttpError(HTTPStatus.LENGTH_REQUIRED, "send the body in one piece, with its Content-Length")
    if int(length) > most_bytes:
        raise HttpError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body may have {most_bytes} bytes at most")
    if fields.get(b"content-encoding", b"identity") != b"identity":
        raise HttpError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send the body as it is, without Content-Encoding")
