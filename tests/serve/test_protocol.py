"""OIP/Z 1 without a socket."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from msgspec.structs import replace

from adaspring.errors import ProtocolError
from adaspring.serve import protocol
from adaspring.serve.protocol import DEFAULT_LIMITS, ErrorHeader, InferRequest, Limits, ModelSignature, ReplyParameters

MODEL = ModelSignature("toy", "1", "x", (2, 3), "logits", 3, ("low", "middle", "high"))
MODELS = {"toy": MODEL}
X = np.arange(12, dtype=np.float32).reshape(2, 2, 3)
FACTS = ReplyParameters("toy-1", 3, 41, 118)


def infer_frames(
    change: Callable[[dict[str, Any]], None] = lambda _header: None, tensor: bytes = X.tobytes()
) -> list[bytes]:
    """An INFER request that is good but for the change made to its header."""
    frames = protocol.encode_infer("7", "toy", "x", X)
    header = json.loads(frames[2])
    change(header)
    return [*frames[:2], json.dumps(header).encode(), tensor]


def decode(frames: Sequence[bytes], limits: Limits = DEFAULT_LIMITS) -> InferRequest:
    """Decode an INFER request as the daemon does."""
    return protocol.decode_infer(protocol.open_request(frames, limits), MODELS, limits)


def test_request_survives_the_wire() -> None:
    """What a client encodes is what the daemon decodes."""
    request = decode(protocol.encode_infer("7", "toy", "x", X, timeout_us=50_000, priority=1))
    assert (request.id, request.timeout_us, request.priority) == ("7", 50_000, 1)
    np.testing.assert_array_equal(request.batch, X)


def test_request_without_wishes_has_no_deadline_and_middle_priority() -> None:
    """The defaults are those of the document."""
    request = decode(infer_frames())
    assert (request.timeout_us, request.priority) == (None, protocol.DEFAULT_PRIORITY)


def test_batch_is_float32_contiguous_and_writable() -> None:
    """Engines get memory that they may hand to any library."""
    batch = decode(infer_frames()).batch
    assert ("float32", True, True) == (batch.dtype.name, batch.flags.c_contiguous, batch.flags.writeable)


@given(hnp.arrays(np.float16, (1, 2, 3)))
@example(np.full((1, 2, 3), 0x7C01, np.uint16).view(np.float16))
def test_half_precision_is_taken_without_loss(x: npt.NDArray[np.float16]) -> None:
    """FP16 arrives as the same numbers, NaN and infinities among them."""
    batch = decode(protocol.encode_infer("7", "toy", "x", x)).batch
    np.testing.assert_array_equal(batch, x.astype(np.float32))


@given(
    hnp.arrays(
        st.sampled_from([*protocol.DATATYPES.values(), np.dtype(">f4"), np.dtype(">i2")]),
        hnp.array_shapes(max_dims=4, min_side=0),
    )
)
def test_every_datatype_survives_the_wire(array: npt.NDArray[Any]) -> None:
    """Outputs of every datatype, shape and byte order arrive as they were."""
    frames = protocol.encode_infer_reply("7", MODEL, array, FACTS)
    reply = protocol.decode_infer_reply(protocol.open_reply(frames, DEFAULT_LIMITS), DEFAULT_LIMITS)
    np.testing.assert_array_equal(reply.outputs, array)
    assert (reply.header.id, reply.header.parameters) == ("7", FACTS)


def test_unknown_parameters_are_ignored() -> None:
    """A client of the Open Inference Protocol may add parameters of its own."""
    request = decode(infer_frames(lambda header: header.update(parameters={"binary_data_output": True, "priority": 2})))
    assert request.priority == 2


def change(path: str, value: object) -> Callable[[dict[str, Any]], None]:
    """Set one field of a header; the last key of the dotted path is made if it is not there."""

    def apply(header: dict[str, Any]) -> None:
        *parents, last = path.split(".")
        target: Any = header
        for key in parents:
            target = target[int(key)] if isinstance(target, list) else target[key]
        target[last] = value

    return apply


@pytest.mark.parametrize(
    ("path", "value", "code", "reason", "names"),
    [
        ("model_name", "other", "NOT_FOUND", "model", "'toy'"),
        ("model_version", "2", "NOT_FOUND", "model", "'1'"),
        ("modelname", "toy", "INVALID_ARG", "header", "modelname"),
        ("parameters", {"timeout": 0}, "INVALID_ARG", "header", "$.parameters.timeout"),
        ("parameters", {"timeout": "1s"}, "INVALID_ARG", "header", "$.parameters.timeout"),
        ("parameters", {"priority": 10}, "INVALID_ARG", "header", "<= 9"),
        ("inputs", [], "INVALID_ARG", "tensors", "'x'"),
        ("inputs.0.name", "y", "INVALID_ARG", "tensors", "'x'"),
        ("inputs.0.datatype", "INT16", "INVALID_ARG", "datatype", "FP32 or FP16"),
        ("inputs.0.datatype", "F32", "INVALID_ARG", "datatype", "FP32 or FP16"),
        ("inputs.0.datatype", "FP16", "INVALID_ARG", "binary_size", "needs 24"),
        ("inputs.0.shape", [2, 3, 2], "INVALID_ARG", "shape", "[n, 2, 3]"),
        ("inputs.0.shape", [2, 3], "INVALID_ARG", "shape", "[n, 2, 3]"),
        ("inputs.0.shape", [], "INVALID_ARG", "shape", "[n, 2, 3]"),
        ("inputs.0.shape", [0, 2, 3], "INVALID_ARG", "shape", "n from 1 to 64"),
        ("inputs.0.shape", [65, 2, 3], "INVALID_ARG", "shape", "n from 1 to 64"),
        ("inputs.0.shape", [1, 2, 3], "INVALID_ARG", "binary_size", "needs 24"),
        ("inputs.0.shape", [-2, 2, 3], "INVALID_ARG", "header", "$.inputs[0].shape"),
        ("inputs.0.parameters", {"binary_data_size": 47}, "INVALID_ARG", "binary_size", "48"),
        ("inputs.0.parameters", None, "INVALID_ARG", "binary_size", "48"),
        ("inputs.0.data", [1.0, 2.0], "UNSUPPORTED", "tensors", "frame of their own"),
        ("outputs", [{"name": "features"}], "INVALID_ARG", "tensors", "'logits'"),
    ],
)
def test_header_that_does_not_fit_is_refused(path: str, value: object, code: str, reason: str, names: str) -> None:
    """The refusal has its code and reason, and names what would have fitted."""
    with pytest.raises(ProtocolError, match=re.escape(names)) as caught:
        decode(infer_frames(change(path, value)))
    assert (code, reason) == (caught.value.code, caught.value.reason)


def test_wish_for_the_only_output_is_granted() -> None:
    """A client may name the output."""
    frames = infer_frames(change("outputs", [{"name": "logits", "parameters": {"binary_data": True}}]))
    assert decode(frames).id == "7"


GOOD = protocol.encode_infer("7", "toy", "x", X)


@pytest.mark.parametrize(
    ("frames", "reason", "names"),
    [
        ([], "frames", "3 to 16"),
        ([b"OIPZ1", b"LIVE"], "frames", "3 to 16"),
        ([*GOOD, *[b""] * 13], "frames", "3 to 16"),
        ([*GOOD, b"more"], "frames", "expected 1"),
        (GOOD[:3], "frames", "expected 1"),
        ([b"OIPZ2", *GOOD[1:]], "version", "OIPZ1"),
        ([b"\xff\x00" * 1000, *GOOD[1:]], "version", "OIPZ1"),
        ([b"OIPZ1", b"LOAD", b"{}"], "type", "INFER, LIVE, READY, META, STATS, CANCEL"),
        ([b"OIPZ1", b"infer", b"{}"], "type", "INFER"),
        ([b"OIPZ1", b"INFER", b" " * 65537], "size", "65536"),
        ([*GOOD[:3], b"\x00" * (32 << 20)], "size", str(32 << 20)),
        ([*GOOD[:2], b"", GOOD[3]], "header", "truncated"),
        ([*GOOD[:2], b"[]", GOOD[3]], "header", "object"),
        ([*GOOD[:2], b"\x80\x04\x95", GOOD[3]], "header", "JSON"),
        ([*GOOD[:2], b'{"model_name":"\xff"}', GOOD[3]], "header", "utf-8"),
        ([*GOOD[:2], b'{"model_name":"\\ud800"}', GOOD[3]], "header", "header"),
    ],
)
def test_frames_that_break_the_protocol_are_refused(frames: list[bytes], reason: str, names: str) -> None:
    """Each limit and each frame has its refusal."""
    # Releases of msgspec write UTF-8 in one way or the other.
    pattern = re.escape(names).replace("utf", "(utf|UTF)")
    with pytest.raises(ProtocolError, match=pattern) as caught:
        decode(frames)
    assert ("INVALID_ARG", reason) == (caught.value.code, caught.value.reason)


def test_limits_are_configurable() -> None:
    """A request that one configuration takes, a tighter one refuses."""
    for limits in (
        Limits(frames=3),
        Limits(message_bytes=100),
        Limits(header_bytes=50),
        Limits(nesting=3),
        Limits(samples=1),
    ):
        assert decode(GOOD).id == "7"
        with pytest.raises(ProtocolError):
            decode(GOOD, limits)


@pytest.mark.parametrize("opener", [b"[", b'{"a":', b'[{"a":['])
def test_deep_json_is_refused_before_it_is_decoded(opener: bytes) -> None:
    """No header of the allowed size can exhaust the stack, not even in a field that is ignored."""
    header = (b'{"model_name":"toy","inputs":[],"parameters":{"p":' + opener * 60_000)[:65_536]
    with pytest.raises(ProtocolError, match="8 levels"):
        decode([*GOOD[:2], header, GOOD[3]])


def nested(levels: int) -> bytes:
    """A header whose parameters nest so deep that it has so many levels."""
    return b'{"parameters":{"p":' + b"[" * (levels - 2) + b"]" * (levels - 2) + b"}}"


def test_depth_counts_levels_and_not_brackets() -> None:
    """Exactly the allowed depth passes, one more does not, and brackets in strings do not count."""
    message = protocol.open_request([b"OIPZ1", b"LIVE", nested(8)], DEFAULT_LIMITS)
    assert protocol.decode_query(message, MODELS, DEFAULT_LIMITS).id == ""
    with pytest.raises(ProtocolError, match="8 levels"):
        protocol.decode_query(replace(message, header=nested(9)), MODELS, DEFAULT_LIMITS)
    text = b'{"id":"[[[[[[[[[[\\"[[[[","parameters":{"a":[],"b":[],"c":[],"d":[],"e":[]}}'
    assert protocol.decode_query(replace(message, header=text), MODELS, DEFAULT_LIMITS).id == '[[[[[[[[[["[[[['


def test_id_is_read_from_a_header_that_is_wrong_otherwise() -> None:
    """An error reply can be matched to its request whenever the id is legible."""
    assert protocol.read_id(b'{"id":"7","inputs":3,"more":[1]}', DEFAULT_LIMITS) == "7"
    for illegible in (b'{"id":7}', b"", b"null", b'{"id":"\xff"}', b"[" * 1000, b" " * 70_000):
        assert protocol.read_id(illegible, DEFAULT_LIMITS) == ""


def test_cancel_alone_names_a_request() -> None:
    """CANCEL without an id, and an id without CANCEL, are refused; so is any other misfit of a query."""
    for frames in (
        protocol.encode_query(protocol.CANCEL, "8"),
        protocol.encode_query(protocol.STATS, "8", cancel_id="7"),
        protocol.encode_query(protocol.META, "8", model_name="other"),
        [*protocol.encode_query(protocol.LIVE, "8"), b"tensor"],
        [b"OIPZ1", b"LIVE", b'{"id":"8","inputs":[]}'],
    ):
        with pytest.raises(ProtocolError):
            protocol.decode_query(protocol.open_request(frames, DEFAULT_LIMITS), MODELS, DEFAULT_LIMITS)


def test_arrays_without_a_name_in_the_protocol_are_refused_at_the_client() -> None:
    """An object array is never pickled; the error says what can be sent."""
    for array in (np.array([object()]), np.array(["a"]), np.zeros(1, np.complex64)):
        with pytest.raises(ProtocolError, match="FP32"):
            protocol.encode_infer("7", "toy", "x", array)


def test_reply_must_hold_what_it_names() -> None:
    """A client refuses replies whose frames and header disagree."""
    good = protocol.encode_infer_reply("7", MODEL, X[0], FACTS)
    unknown = good[2].replace(b"FP32", b"BF16")
    for frames in (good[:3], [*good, b""], [*good[:3], b"short"], [*good[:2], unknown, good[3]]):
        with pytest.raises(ProtocolError):
            protocol.decode_infer_reply(protocol.open_reply(frames, DEFAULT_LIMITS), DEFAULT_LIMITS)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from(["id", "inputs", "shape", "parameters"]) | st.text(), inner)
    ),
    max_leaves=20,
)
HEADERS = st.binary() | JSON.map(lambda value: json.dumps(value).encode()) | st.sampled_from([GOOD[2], b"{}"])


@st.composite
def mutated_headers(draw: st.DrawFn) -> bytes:
    """A good header in which one value became something else."""
    header = json.loads(GOOD[2])
    places: list[tuple[Any, Any]] = []

    def visit(node: Any) -> None:
        for key in list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ():
            places.append((node, key))
            visit(node[key])

    visit(header)
    node, key = draw(st.sampled_from(places))
    node[key] = draw(JSON)
    return json.dumps(header).encode()


@st.composite
def messages(draw: st.DrawFn) -> list[bytes]:
    """Frames that look more or less like a message."""
    kinds = [b"INFER", b"LIVE", b"CANCEL", b"OK", b"ERR"]
    return [
        draw(st.sampled_from([b"OIPZ1", b""]) | st.binary()),
        draw(st.sampled_from(kinds) | st.binary()),
        draw(HEADERS | mutated_headers()),
        *draw(st.lists(st.sampled_from([GOOD[3]]) | st.binary(), max_size=3)),
    ]


def refusal_of(decoder: Callable[[], object]) -> ProtocolError | None:
    """What a decoder refused with, if it did; any other exception passes on and fails the test."""
    try:
        decoder()
    except ProtocolError as error:
        return error
    return None


def decode_request(frames: list[bytes]) -> None:
    """Decode a request of any type as the daemon does."""
    message = protocol.open_request(frames, DEFAULT_LIMITS)
    if message.type == protocol.INFER:
        assert protocol.decode_infer(message, MODELS, DEFAULT_LIMITS).batch.shape[1:] == MODEL.input_shape
    else:
        protocol.decode_query(message, MODELS, DEFAULT_LIMITS)


@given(messages() | st.lists(st.binary()))
@example([b"OIPZ1", b"INFER", b'{"model_name":"toy","inputs":[{"name":"x","datatype":"FP32","shape":[1e400]}]}', b""])
def test_garbage_raises_protocol_errors_only(frames: list[bytes]) -> None:
    """Whatever comes, decoding gives a request or a `ProtocolError` that is short and can itself be sent."""
    error = refusal_of(lambda: decode_request(frames))
    if error is not None:
        request_id = protocol.read_id(frames[2], DEFAULT_LIMITS) if len(frames) > 2 else ""
        sent = protocol.encode_error(ErrorHeader(request_id, error.code, str(error)))
        assert json.loads(sent[2])["code"] == error.code
        assert error.reason in protocol.REJECT_REASONS
        assert len(str(error)) < 600


@given(messages() | st.lists(st.binary()))
def test_garbage_from_a_daemon_raises_protocol_errors_only(frames: list[bytes]) -> None:
    """A client that talks to something else says so, and nothing worse."""
    refusal_of(lambda: protocol.decode_infer_reply(protocol.open_reply(frames, DEFAULT_LIMITS), DEFAULT_LIMITS))
    refusal_of(lambda: protocol.decode_event(frames))


@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
@example(b"[" * 1000)
@example(b" " * 70_000)
def test_garbage_at_the_control_socket_raises_protocol_errors_only(frame: bytes) -> None:
    """Calls and their replies are as safe to decode as requests."""
    refusal_of(lambda: protocol.decode_control_call(frame))
    refusal_of(lambda: protocol.decode_control_reply(frame))


def test_control_calls_survive_the_wire() -> None:
    """Commands, arguments, results and refusals arrive as they were."""
    call = protocol.decode_control_call(protocol.encode_control_call("pin", {"subnet": "c16", "for_s": 3}))
    assert ("pin", {"subnet": "c16", "for_s": 3}) == (call.command, call.arguments)
    reply = protocol.decode_control_reply(protocol.encode_control_reply({"pinned": True}))
    assert (True, {"pinned": True}) == (reply.ok, reply.result)
    refusal = protocol.decode_control_reply(protocol.encode_control_error("INVALID_ARG", "no"))
    assert (False, "INVALID_ARG", "no") == (refusal.ok, refusal.code, refusal.error)


def example_frames(text: str, name: str) -> list[bytes]:
    """The frames of one example of the document."""
    block = re.search(rf"```hex {name}\n(.*?)```", text, re.DOTALL)
    assert block is not None
    return [bytes.fromhex(frame) for frame in re.sub(r"\n  ", "", block[1]).splitlines()]


def test_example_of_the_document_is_what_we_speak(clone: Path) -> None:
    """The request and the reply of docs/protocol.md are ours, byte for byte."""
    text = (clone / "docs" / "protocol.md").read_text()
    x = np.array([[[1, -2, 0.5], [0, 0, 0]]], dtype=np.float32)
    request = protocol.encode_infer("7", "toy", "x", x, timeout_us=50_000, priority=1)
    reply = protocol.encode_infer_reply("7", MODEL, x[:, 0], FACTS)
    assert example_frames(text, "request") == request
    assert example_frames(text, "reply") == reply
    for frames in (request, reply):
        assert f"`{frames[2].decode()}`" in text


def test_document_names_every_limit_code_and_field(clone: Path) -> None:
    """The document does not fall behind the structs."""
    text = (clone / "docs" / "protocol.md").read_text()
    names = [field.name for field in msgspec.structs.fields(protocol.Statistics)]
    names += [field.name for field in msgspec.structs.fields(protocol.ReplyParameters)]
    names += protocol.TOPICS
    assert [name for name in names if f"`{name}`" not in text] == []
