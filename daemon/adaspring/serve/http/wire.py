"""HTTP/1.1 as far as the Open Inference Protocol needs it: heads in, whole answers out.

Whatever a head says in two ways, or in a way that others might read otherwise, is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import NamedTuple

import msgspec

_REQUEST_LINE = re.compile(r"([A-Z]{1,16}) ([!-~]{1,2048}) HTTP/1\.([01])")
_LENGTH = re.compile(r"[0-9]{1,18}")
_FIELD_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


class HttpError(Exception):
    """A request that is answered by a status and a sentence. It stays within this package."""

    def __init__(self, status: HTTPStatus, sentence: str, headers: Mapping[str, str] | None = None) -> None:
        """Say what is wrong."""
        super().__init__(sentence)
        self.response = error(status, sentence, headers)


class Head(NamedTuple):
    """The head of a request.

    Attributes:
        method: As sent.
        path: As sent.
        fields: By lower-case name.
        keep_alive: Whether another request may follow on the connection.
    """

    method: str
    path: str
    fields: Mapping[str, str]
    keep_alive: bool


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


def parse_head(text: bytes) -> Head:
    """Parse a head.

    Args:
        text: Up to and with the empty line behind it.

    Raises:
        HttpError: If it is none, or an ambiguous one.
    """
    lines = text.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    match = _REQUEST_LINE.fullmatch(lines[0])
    if match is None:
        raise HttpError(HTTPStatus.BAD_REQUEST, "the first line is no request of HTTP/1.1")
    fields: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        key = name.lower()
        if not colon or _FIELD_NAME.fullmatch(name) is None:
            raise HttpError(HTTPStatus.BAD_REQUEST, "a line of the head is no field")
        if key in fields and key in {"content-length", "host"}:
            raise HttpError(HTTPStatus.BAD_REQUEST, f"{name} is given twice")
        fields[key] = value.strip(" \t")
    connection = fields.get("connection", "").lower()
    keep_alive = connection != "close" if match[3] == "1" else connection == "keep-alive"
    return Head(match[1], match[2], fields, keep_alive)


def body_bytes(head: Head, most: int) -> int:
    """Length of the body behind a head.

    Args:
        head: The head.
        most: How long it may be.

    Raises:
        HttpError: If it is too long, or its end cannot be told; then nothing that follows can.
    """
    length = parse_length(head.fields.get("content-length", "0" if head.method == "GET" else ""))
    if length is None or "transfer-encoding" in head.fields:
        raise HttpError(HTTPStatus.LENGTH_REQUIRED, "send the body in one piece, with its Content-Length")
    if length > most:
        raise HttpError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body may have {most} bytes at most")
    if head.fields.get("content-encoding", "identity") != "identity":
        raise HttpError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send the body as it is, without Content-Encoding")
    return length


def parse_length(text: str) -> int | None:
    """A length in decimal digits; None for anything else."""
    return int(text) if _LENGTH.fullmatch(text) else None


def encode_response(response: Response, server: str, *, keep_alive: bool) -> bytes:
    """Bytes of an answer, in one piece.

    Args:
        response: The answer.
        server: Who says so.
        keep_alive: Whether another request may follow.
    """
    lines = [
        f"HTTP/1.1 {response.status.value} {response.status.phrase}",
        f"Server: {server}",
        f"Content-Type: {response.content_type}",
        f"Content-Length: {len(response.content)}",
        *(f"{name}: {value}" for name, value in response.headers.items()),
        *([] if keep_alive else ["Connection: close"]),
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + response.content
