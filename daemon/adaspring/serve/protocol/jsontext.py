"""JSON that came from outside: bounded depth, and every failure a `ProtocolError`."""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec

from adaspring.serve.protocol.limits import quote_json_error, refusal

T = TypeVar("T")

# The closing quote is optional, so that a text of unclosed quotes cannot make the
# expression try again from each of them.
_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*"?', re.DOTALL)
_BRACKETS = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")


def decode_json(decoder: msgspec.json.Decoder[T], text: bytes, nesting: int, what: str) -> T:
    """Decode a JSON object.

    Args:
        decoder: Typed decoder.
        text: From outside.
        nesting: Levels allowed.
        what: How errors name the text, for example ``"the header"``.

    Raises:
        ProtocolError: If it is too deep, no JSON, or another object than expected.
    """
    # The decoder recurses, also through fields that it skips. A text with few openers
    # cannot be deep, which spares nearly every message the exact count.
    if text.count(b"{") + text.count(b"[") > nesting and _is_deeper(text, nesting):
        raise refusal("header", f"{what} nests deeper than {nesting} levels, or its brackets do not match")
    try:
        return decoder.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise refusal("header", f"{what} is not as OIP/Z 1 expects it: {quote_json_error(error)}") from error


def _is_deeper(text: bytes, nesting: int) -> bool:
    """Whether brackets remain after the innermost pairs were removed `nesting` times.

    Each pass is one sweep in C, so that a hostile text costs microseconds.
    """
    brackets = _STRINGS.sub(b"", text).translate(_BRACKETS, _NO_BRACKETS)
    for _ in range(nesting):
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)
