"""A load generator in a process of its own: paced or as fast as answers come.

Run by other benchmarks as ``python -m benchmarks.load``. For each frame it keeps when it was sent and
answered, who answered, and the logits, so that replies can be checked against the subnet they name.
"""

from __future__ import annotations

import argparse
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import zmq

from adaspring.client import Client
from adaspring.serve.protocol import INFER, MAGIC, OK, MetaHeader, encode_infer
from adaspring.serve.sockets import readable, receive, send
from benchmarks.harness import frames_of

#: How often the generator looks whether it shall end, in seconds.
LOOK_S = 0.05


@dataclass(slots=True)
class Frames:
    """What happened to every frame, in the order of sending.

    Attributes:
        sent_s: Monotonic clock at sending, shape ``(n,)``.
        answered_s: At the answer; NaN where none came.
        replies: How many answers came.
        generation: Generation that answered; 0 where none did.
        subnet: Index into ``names``.
        logits: Shape ``(n, outputs)``.
        names: Names of the subnets that answered.
    """

    sent_s: npt.NDArray[np.float64]
    answered_s: npt.NDArray[np.float64]
    replies: npt.NDArray[np.int64]
    generation: npt.NDArray[np.int64]
    subnet: npt.NDArray[np.int64]
    logits: npt.NDArray[np.float32]
    names: list[str]

    @property
    def latency_ms(self) -> npt.NDArray[np.float64]:
        """Round trips of the frames that were answered."""
        done = self.replies > 0
        return (self.answered_s[done] - self.sent_s[done]) * 1e3


@contextmanager
def load(endpoint: str, *, rate_hz: float | None, in_flight: int = 4) -> Iterator[list[Frames]]:
    """Run the generator beside the block; its result is in the list once the block is left.

    Args:
        endpoint: Inference socket.
        rate_hz: Frames a second; None sends a frame for each answer.
        in_flight: Frames under way at most.
    """
    result: list[Frames] = []
    with tempfile.TemporaryDirectory(prefix="adaspring-load-") as folder:
        out = Path(folder) / "frames.npz"
        command = [sys.executable, "-m", "benchmarks.load", endpoint, str(out), "--in-flight", str(in_flight)]
        command += ["--rate", str(rate_hz)] if rate_hz else []
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdout is not None  # noqa: S101 - asked for above
        process.stdout.readline()  # it streams
        try:
            yield result
        finally:
            process.communicate(b"stop\n", timeout=60)
        with np.load(out) as arrays:
            fields = {name: arrays[name] for name in arrays.files}
        result.append(Frames(**{**fields, "names": fields["names"].tolist()}))


class _Parameters(msgspec.Struct, gc=False):
    subnet: str
    generation: int


class _Reply(msgspec.Struct, gc=False):
    """What the generator reads of a reply's header while it streams."""

    id: str
    parameters: _Parameters


class _Generator:
    """Sends and receives with as little work as Python allows: it shares the cores with the daemon that is measured."""

    def __init__(self, endpoint: str, in_flight: int) -> None:
        with Client(endpoint, timeout_s=5.0) as client:
            meta: MetaHeader = client.meta()
        self._outputs = meta.outputs[0].shape[-1]
        self._requests = [_request(meta, x) for x in frames_of(meta.name)]
        self._decode = msgspec.json.Decoder(_Reply).decode
        self._in_flight = in_flight
        self._socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.connect(endpoint)
        self._fd = int(self._socket.getsockopt(zmq.FD))
        self._names: dict[str, int] = {}
        self.sent: list[float] = []
        self.answers: list[tuple[int, float, int, int, bytes]] = []

    @property
    def under_way(self) -> int:
        """Frames without an answer."""
        return len(self.sent) - len(self.answers)

    def stream(self, rate_hz: float | None) -> None:
        """Send until a line comes on standard input, then wait for what is under way."""
        print("streaming", flush=True)
        due_s = looked_s = time.monotonic()
        while True:
            self._drain()
            now_s = time.monotonic()
            if self.under_way < self._in_flight and (rate_hz is None or now_s >= due_s):
                self._send()
                due_s = due_s + 1 / rate_hz if rate_hz else now_s
                if now_s - looked_s < LOOK_S:
                    continue
                wait_s = 0.0
            else:
                wait_s = LOOK_S if self.under_way >= self._in_flight else max(0.0, due_s - now_s)
            looked_s = now_s
            if sys.stdin in select.select([self._fd, sys.stdin], [], [], wait_s)[0]:
                break
        deadline_s = time.monotonic() + 5
        while self.under_way and time.monotonic() < deadline_s:
            self._drain()
            select.select([self._fd], [], [], 0.01)

    def _send(self) -> None:
        number = len(self.sent)
        before, behind, frame = self._requests[number % len(self._requests)]
        header = b"%b%d%b" % (before, number, behind)
        self.sent.append(time.monotonic())
        send(self._socket, (MAGIC, INFER, header, frame))

    def _drain(self) -> None:
        while readable(self._socket):
            _, kind, header, *tensors = receive(self._socket)
            now_s = time.monotonic()
            if kind != OK:
                raise SystemExit(f"the daemon refused a frame: {header.decode()}")
            reply = self._decode(header)
            facts = reply.parameters
            name = self._names.setdefault(facts.subnet, len(self._names))
            self.answers.append((int(reply.id), now_s, facts.generation, name, tensors[0]))

    def save(self, path: Path) -> None:
        """Write what happened."""
        count = len(self.sent)
        frames = Frames(
            sent_s=np.array(self.sent),
            answered_s=np.full(count, np.nan),
            replies=np.zeros(count, dtype=np.int64),
            generation=np.zeros(count, dtype=np.int64),
            subnet=np.zeros(count, dtype=np.int64),
            logits=np.zeros((count, self._outputs), dtype=np.float32),
            names=list(self._names),
        )
        for number, answered_s, generation, name, logits in self.answers:
            frames.replies[number] += 1
            if frames.replies[number] > 1:
                continue
            frames.answered_s[number] = answered_s
            frames.generation[number] = generation
            frames.subnet[number] = name
            frames.logits[number] = np.frombuffer(logits, dtype=np.float32)
        np.savez(path, **{name: getattr(frames, name) for name in Frames.__slots__})


def _request(meta: MetaHeader, x: npt.NDArray[np.float32]) -> tuple[bytes, bytes, bytes]:
    """The header of a request before and behind its id, and the frame of its tensor."""
    mark = "<id>"
    _, _, header, frame = encode_infer(mark, meta.name, meta.inputs[0].name, x[None])
    before, behind = header.split(mark.encode())
    return before, behind, frame


def main() -> None:
    """Stream until told to stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("endpoint")
    parser.add_argument("out", type=Path)
    parser.add_argument("--rate", type=float)
    parser.add_argument("--in-flight", type=int, default=4)
    options = parser.parse_args()
    generator = _Generator(options.endpoint, options.in_flight)
    generator.stream(options.rate)
    generator.save(options.out)


if __name__ == "__main__":
    main()
