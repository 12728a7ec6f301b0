"""Servers that the benchmark of the socket compares, each in a process of its own.

Run as ``python -m benchmarks.servers KIND BUNDLE SUBNET ENDPOINT``; a key on standard input makes TCP use CURVE.
KIND is ``echo`` (frames come back as they are), ``bare`` (see `benchmarks.bare_loop`) or ``ours`` (the data plane
of the daemon, without the control thread beside it).
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import zmq

from adaspring.app.daemon import SWITCH_INTERVAL_S
from adaspring.app.signature import limits_of, signature
from adaspring.bundle import load_bundle
from adaspring.engine import Active, make_engine, warm_batches
from adaspring.profile.measure import measure_batch_curve
from adaspring.serve.endpoint import Claim
from adaspring.serve.lane import Lane
from adaspring.serve.server import DataPlane
from benchmarks.bare_loop import bare_loop

KINDS = ("echo", "bare", "ours")


class Keys(NamedTuple):
    """A key pair of CURVE."""

    public: bytes
    secret: bytes


class Address(NamedTuple):
    """Where a server is.

    Attributes:
        endpoint: Of ZeroMQ.
        server: Its keys, where it asks for CURVE.
    """

    endpoint: str
    server: Keys | None = None

    def connect(self, context: zmq.Context[zmq.Socket[bytes]]) -> zmq.Socket[bytes]:
        """A DEALER that is connected to it."""
        socket = context.socket(zmq.DEALER)
        socket.linger = 0
        socket.rcvtimeo = 20_000
        if self.server is not None:
            socket.curve_serverkey = self.server.public
            socket.curve_publickey, socket.curve_secretkey = zmq.curve_keypair()
        socket.connect(self.endpoint)
        return socket


@contextmanager
def server(kind: str, bundle: Path, subnet: str, address: Address) -> Iterator[Address]:
    """Run a server beside the block.

    Args:
        kind: One of `KINDS`.
        bundle: Folder of the bundle.
        subnet: Which of its subnets computes, in text form.
        address: Where; a TCP endpoint may leave the port to the system by ``*``.
    """
    command = [sys.executable, "-m", "benchmarks.servers", kind, str(bundle), subnet, address.endpoint]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 - asked for above
    try:
        process.stdin.write((address.server.secret.decode() if address.server else "") + "\n")
        process.stdin.flush()
        yield address._replace(endpoint=process.stdout.readline().strip())
    finally:
        process.kill()
        process.communicate()


class _Anywhere:
    """Binds a socket where the benchmark says, in place of a daemon's claim."""

    def __init__(self, endpoint: str, secret: bytes) -> None:
        self._endpoint = endpoint
        self._secret = secret

    def bind(self, socket: zmq.Socket[bytes]) -> None:
        """Bind, and tell where."""
        if self._secret:
            socket.curve_server = True
            socket.curve_secretkey = self._secret
        socket.bind(self._endpoint)
        print(cast("bytes", socket.last_endpoint).decode().rstrip("\0"), flush=True)


def main() -> None:
    """Serve until the process is ended."""
    kind, folder, name, endpoint = sys.argv[1:]
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    where = _Anywhere(endpoint, sys.stdin.readline().strip().encode())
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    bundle = load_bundle(Path(folder))
    engine = make_engine("onnxruntime", bundle)
    genome = bundle.space.parse(name)
    subnet = engine.prepare(genome).subnet
    if kind == "ours":
        shape = bundle.manifest.input.shape
        curve = dict(measure_batch_curve(engine, np.stack([genome]), shape, runs=40))
        warm_batches(subnet, shape, curve)
        lane = Lane(signature(bundle, None), Active(subnet))
        lane.batch_by(curve)
        plane = DataPlane(context, cast("Claim", where), [lane], limits=limits_of(lane.model))
        plane.bind()
        plane.run()
        return
    socket = context.socket(zmq.ROUTER)
    where.bind(socket)
    if kind == "bare":
        bare_loop(socket, subnet)
    while True:
        socket.send_multipart(socket.recv_multipart())


if __name__ == "__main__":
    main()
