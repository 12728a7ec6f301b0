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

import numpy as np
import numpy.typing as npt
import zmq

from adaspring.client import Client
from adaspring.client.core import Codec
from adaspring.serve.protocol import MetaHeader
from benchmarks.harness import frames_of


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


class _Generator:
    def __init__(self, endpoint: str, in_flight: int) -> None:
        with Client(endpoint, timeout_s=5.0) as client:
            self._meta: MetaHeader = client.meta()
        self._codec = Codec(None)
        self._x = frames_of(self._meta.name)
        self._in_flight = in_flight
        self._socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.connect(endpoint)
        self._fd = int(self._socket.getsockopt(zmq.FD))
        self._numbers: dict[str, int] = {}
        self._names: dict[str, int] = {}
        self.sent: list[float] = []
        self.answers: dict[int, list[tuple[float, int, int, npt.NDArray[np.float32]]]] = {}

    @property
    def under_way(self) -> int:
        """Frames without an answer."""
        return len(self.sent) - len(self.answers)

    def stream(self, rate_hz: float | None) -> None:
        """Send until a line comes on standard input, then wait for what is under way."""
        print("streaming", flush=True)
        due_s = time.monotonic()
        while not select.select([sys.stdin], [], [], 0)[0]:
            self._drain()
            now_s = time.monotonic()
            if self.under_way < self._in_flight and (rate_hz is None or now_s >= due_s):
                self._send()
                due_s = due_s + 1 / rate_hz if rate_hz else now_s
            elif rate_hz is None or self.under_way >= self._in_flight:
                select.select([self._fd, sys.stdin], [], [], 0.05)
            else:
                select.select([self._fd, sys.stdin], [], [], max(0.0, due_s - now_s))
        deadline_s = time.monotonic() + 5
        while self.under_way and time.monotonic() < deadline_s:
            self._drain()
            select.select([self._fd], [], [], 0.01)

    def _send(self) -> None:
        number = len(self.sent)
        outgoing = self._codec.infer(self._x[number % len(self._x)], self._meta, timeout_us=None, priority=None)
        self._numbers[outgoing.id] = number
        self.sent.append(time.monotonic())
        self._socket.send_multipart(outgoing.frames)

    def _drain(self) -> None:
        while int(self._socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
            frames = self._socket.recv_multipart()
            now_s = time.monotonic()
            incoming = self._codec.open(frames)
            reply = self._codec.reply(incoming)
            facts = reply.header.parameters
            name = self._names.setdefault(facts.subnet, len(self._names))
            answer = (now_s, facts.generation, name, reply.outputs[0])
            self.answers.setdefault(self._numbers[incoming.id], []).append(answer)

    def save(self, path: Path) -> None:
        """Write what happened."""
        count, outputs = len(self.sent), self._meta.outputs[0].shape[-1]
        frames = Frames(
            sent_s=np.array(self.sent),
            answered_s=np.full(count, np.nan),
            replies=np.zeros(count, dtype=np.int64),
            generation=np.zeros(count, dtype=np.int64),
            subnet=np.zeros(count, dtype=np.int64),
            logits=np.zeros((count, outputs), dtype=np.float32),
            names=list(self._names),
        )
        for number, answers in self.answers.items():
            frames.replies[number] = len(answers)
            frames.answered_s[number], frames.generation[number], frames.subnet[number], frames.logits[number] = (
                answers[0]
            )
        np.savez(path, **{name: getattr(frames, name) for name in Frames.__slots__})


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
