"""Frames streamed to a daemon, and what it should have answered."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import numpy.typing as npt

from adaspring.bundle import Bundle
from adaspring.cli.process import DaemonProcess
from adaspring.client import Result
from adaspring.engine.onnx.engine import OnnxEngine


class Oracle:
    """Computes in this process what the daemon should have answered."""

    def __init__(self, bundle: Bundle) -> None:
        """Take the bundle that is served."""
        self._space = bundle.space
        self._engine = OnnxEngine(bundle)
        self._subnets: dict[str, Any] = {}

    def check(self, x: npt.NDArray[np.float32], result: Result) -> None:
        """The outputs are those of the subnet that the reply names."""
        if result.subnet not in self._subnets:
            self._subnets[result.subnet] = self._engine.prepare(self._space.parse(result.subnet)).subnet
        batch = x if x.ndim == len(self._space.spec.input_size) + 2 else x[None]
        expected = self._subnets[result.subnet].run(batch)
        np.testing.assert_allclose(result.outputs, expected, rtol=1e-5, atol=1e-5)


class Stream(threading.Thread):
    """A client that streams windows until it is told to end, and keeps what came back."""

    def __init__(self, daemon: DaemonProcess, windows: npt.NDArray[np.float32], model: str | None = None) -> None:
        """Describe the stream; entering starts it. The model need not be named where there is one."""
        super().__init__()
        self.results: list[Result] = []
        self._client = daemon.client(model=model, retries=0, timeout_s=5.0)
        self._windows = windows
        self._over = threading.Event()

    def run(self) -> None:
        """A few hundred frames a second; an error ends the thread, and with it the test."""
        with self._client:
            while not self._over.wait(0.002):
                self.results.append(self._client.infer(self._windows[len(self.results) % len(self._windows)]))

    def __enter__(self) -> Stream:  # noqa: PYI034 - typing.Self came with Python 3.11
        """Begin."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._over.set()
        self.join()
