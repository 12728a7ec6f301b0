"""Fuzz the data plane for as long as one likes: after any garbage a good client is still served.

    pip install atheris h11
    PYTHONPATH=daemon python scripts/fuzz.py CORPUS [-max_total_time=600 ...]

CORPUS is a folder that keeps what reached new code; an empty one begins with a good message of each kind. Further
options are those of libFuzzer. The shipped HAR bundle is served in this process, streams and raw samples included. An
input is a few messages, or the body of a request over HTTP; every other mutation changes a value in a header and
leaves it JSON. It ends with what it found: the input lies in a ``crash-*`` file, and given in place of CORPUS it is
run again.
"""

from __future__ import annotations

import faulthandler
import json
import os
import random
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import atheris
import h11
import numpy as np
import zmq

with atheris.instrument_imports(include=["adaspring.serve", "adaspring.features"]):
    from adaspring.serve import protocol
    from adaspring.serve.http.bodies import decode_inference, encode_inference
    from adaspring.serve.http.messages import HttpError, check_body
    from adaspring.serve.lane import Lane
    from adaspring.serve.server import INPROC, DataPlane

from adaspring.app.signature import limits_of, pipeline_of, signature
from adaspring.bundle import load_bundle
from adaspring.engine import Active, make_engine
from adaspring.errors import ProtocolError
from adaspring.resources import resource
from adaspring.serve.endpoint import claim

#: Before each frame: its length, in bytes of this many. A length of all ones ends a message.
LENGTH_BYTES = 2
END = (1 << 8 * LENGTH_BYTES) - 1
#: Messages of one input.
MOST_MESSAGES = 8
#: How long the good client waits, in milliseconds: an answer takes less than one.
PATIENCE_MS = 20_000
#: What names the answer to the good client; no input is likely to guess it.
GOOD_ID = "the good client"

#: Where the header of a message stands.
HEADER_AT = 2
#: Shares of the mutations: of a value of a header, and there of going deeper and of dropping what is reached.
SHARE_IN_JSON, DEEPER, DROPPED = 0.5, 0.9, 0.1
#: What stands in for a value.
ODD = (
    *(None, True, -1, 0, 1, 2, 63, 64, 65, 128, 2**31, 2**63, -(2**63), 2**64, 1e-320, 1e308, 0.5, float("nan")),
    *("", "x", "s", "1", "har", "raw", "FP32", "FP16", "INT16", "BOOL", "BYTES", "\x00", "\ud800", "x" * 300),
    *([], {}, [[]], [0], [1, 9, 128], [1, 200, 6], [-1], [2**40, 2**40], [1] * 40, {"timeout": 1}, {"priority": 0}),
)


class Target:
    """A data plane in a thread, and two clients: one that sends garbage and one that asks as it should."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], folder: Path) -> None:
        """Serve the HAR bundle."""
        bundle = load_bundle(resource("models", "har", "bundle"))
        pipeline = pipeline_of(bundle)
        self._model = signature(bundle, pipeline)
        self._limits = limits_of(self._model)
        subnet = make_engine("auto", bundle).prepare(bundle.space.smallest()).subnet
        self._plane = DataPlane(
            context,
            claim(f"ipc://{folder}/infer.sock", mode=0o600),
            [Lane(self._model, Active(subnet), pipeline)],
            limits=self._limits,
            queue_size=16,
        )
        self._plane.bind()
        threading.Thread(target=self._plane.run, name="data", daemon=True).start()
        self._hostile, self._good = (context.socket(zmq.DEALER) for _ in range(2))
        for client in (self._hostile, self._good):
            client.linger, client.sndtimeo, client.rcvtimeo = 0, PATIENCE_MS, PATIENCE_MS
            client.connect(INPROC)
        x = np.zeros((1, *bundle.manifest.input.shape), dtype=np.float32)
        self._request = protocol.encode_infer(GOOD_ID, self._model.name, self._model.input_name, x)

    def run(self, data: bytes) -> None:
        """Send an input, and ask as one should.

        Raises:
            zmq.Again: If nobody answers any more.
        """
        if data[:1] and data[0] % 4 == 0:
            self._ask_http(data[1:])
        else:
            for frames in unpacked(data[1:]):
                self._hostile.send_multipart(frames)
        # The good client may be told to come again while the queue is full, but it is answered.
        self._good.send_multipart(self._request)
        answer = self._good.recv_multipart()
        if answer[1] != protocol.OK and b"UNAVAILABLE" not in answer[2]:
            raise AssertionError(f"the good client was told {answer[2]!r}")
        while self._hostile.poll(0):
            self._hostile.recv_multipart()

    def _ask_http(self, body: bytes) -> None:
        """As the HTTP face does it: what it lets through is answered, and what is answered can be encoded."""
        peer = h11.Connection(h11.SERVER)
        peer.receive_data(body + b"\r\n\r\n")
        with suppress(HttpError, h11.RemoteProtocolError):
            request = peer.next_event()
            if isinstance(request, h11.Request):
                check_body(request, self._limits.message_bytes)
        at = int.from_bytes(body[:LENGTH_BYTES], "little") if len(body) > LENGTH_BYTES else 0
        body = body[LENGTH_BYTES:]
        try:
            inference = decode_inference(body, min(at, len(body)), self._model.name, "", self._limits)
        except ProtocolError:
            return
        self._good.send_multipart(inference.frames)
        reply = self._good.recv_multipart()
        if reply[1] == protocol.OK:
            encode_inference(reply[2], reply[3:], binary=inference.binary)

    def seeds(self) -> list[bytes]:
        """A good message of each kind, and a good body."""
        shape, model = self._model.input_shape, self._model
        x = np.ones((1, *shape), dtype=np.float32)
        raw = np.ones((200, 6), dtype=np.float32)
        stream = [
            protocol.encode_open("s", hop=64, model_name=model.name),
            protocol.encode_push("s", raw, 0),
            protocol.encode_push("s", raw, 300),
            protocol.encode_close("s"),
        ]
        queries = [protocol.LIVE, protocol.READY, protocol.META, protocol.STATS]
        messages = [[protocol.encode_query(kind, "1", model_name=model.name)] for kind in queries]
        messages += [
            [protocol.encode_query(protocol.CANCEL, "1", cancel_id="2")],
            [protocol.encode_infer("1", model.name, model.input_name, x, timeout_us=1000, priority=1)],
            [protocol.encode_infer("1", model.name, "raw", raw[None])],
            stream,
        ]
        header = b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,9,128],"parameters":{"binary_data_size":4608}}]}'
        values = b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,9,128],"data":[1.0,2.0]}]}'
        bodies = [(header, x.tobytes()), (values, b"")]
        return [b"\1" + packed(some) for some in messages] + [
            b"\0" + len(text).to_bytes(LENGTH_BYTES, "little") + text + tensor for text, tensor in bodies
        ]


def packed(messages: list[list[bytes]]) -> bytes:
    """Messages as an input."""
    parts = []
    for frames in messages:
        for frame in frames:
            parts += [len(frame).to_bytes(LENGTH_BYTES, "little"), frame]
        parts.append(END.to_bytes(LENGTH_BYTES, "little"))
    return b"".join(parts)


def unpacked(data: bytes) -> list[list[bytes]]:
    """The messages of an input, whatever it is."""
    messages: list[list[bytes]] = [[]]
    while data and len(messages) <= MOST_MESSAGES:
        length, data = int.from_bytes(data[:LENGTH_BYTES], "little"), data[LENGTH_BYTES:]
        if length == END:
            messages.append([])
        else:
            messages[-1].append(data[:length])
            data = data[length:]
    return [frames for frames in messages if frames]


def mutated(data: bytes, most_bytes: int, seed: int) -> bytes:
    """An input with a value of one of its headers changed, or with some bytes changed where libFuzzer likes."""
    rng = random.Random(seed)  # noqa: S311 - mutations are no secrets
    messages = unpacked(data[1:])
    headers = [frames for frames in messages if len(frames) > HEADER_AT]
    if data[:1] and data[0] % 4 and headers and rng.random() < SHARE_IN_JSON:
        frames = rng.choice(headers)
        try:
            header = json.loads(frames[HEADER_AT])
        except (ValueError, RecursionError):
            header = None
        if header is not None:
            frames[HEADER_AT] = json.dumps(_changed(header, rng)).encode()
            return (data[:1] + packed(messages))[:most_bytes]
    changed: bytes = atheris.Mutate(data, most_bytes)
    return changed


def _changed(value: Any, rng: random.Random) -> Any:
    """Some JSON with one value in it replaced, dropped or doubled."""
    if isinstance(value, dict) and value and rng.random() < DEEPER:
        key = rng.choice(list(value))
        if rng.random() < DROPPED:
            return {name: each for name, each in value.items() if name != key}
        return value | {key: _changed(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < DEEPER:
        at = rng.randrange(len(value))
        copies = 0 if rng.random() < DROPPED else rng.choice((1, 1, 2))
        return value[:at] + [_changed(value[at], rng)] * copies + value[at + 1 :]
    return rng.choice(ODD)


def main() -> None:
    """Fuzz until told otherwise."""
    faulthandler.enable()
    # A data plane that failed is found out at once, with what it failed of.
    threading.excepthook = lambda failed: (sys.excepthook(*failed[:3]), os._exit(77))
    folder = tempfile.TemporaryDirectory(prefix="adaspring-fuzz-")
    target = Target(zmq.Context(), Path(folder.name))
    corpus = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    if corpus is not None and corpus.is_dir() and not any(corpus.iterdir()):
        for number, seed in enumerate(target.seeds()):
            (corpus / f"seed-{number}").write_bytes(seed)
    atheris.Setup(sys.argv, target.run, custom_mutator=mutated)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
