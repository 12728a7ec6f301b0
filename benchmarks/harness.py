"""What the benchmarks share: tables of this machine, a daemon, sample frames, one line of JSON."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console

from adaspring.app.locate import find_board
from adaspring.bundle import Bundle, load_bundle
from adaspring.cli.process import DaemonProcess
from adaspring.cli.profile_command import profile_if_missing
from adaspring.resources import resource

#: Notes go to standard error, so that standard output ends with the JSON.
CONSOLE = Console(stderr=True, highlight=False)
#: Where servers of benchmarks listen.
PORTS = (23_000, 32_000)


def har() -> Bundle:
    """The HAR bundle."""
    return bundle("har")


def bundle(name: str) -> Bundle:
    """A bundle that ships with the project."""
    return load_bundle(resource("models", name, "bundle"))


def shipped() -> list[str]:
    """Names of the bundles that ship with the project, the one with most weights last."""

    def size(name: str) -> int:
        return resource("models", name, "bundle", "weights.safetensors").stat().st_size

    return sorted((path.parent.parent.name for path in resource("models").glob("*/bundle/manifest.json")), key=size)


def har_and_largest() -> list[str]:
    """HAR, and the bundle with most weights where that is another."""
    return list(dict.fromkeys(["har", shipped()[-1]]))


def board() -> str:
    """Name of the device profile of this machine."""
    return find_board("auto", Path("/")).name


def state(name: str = "har") -> Path:
    """State folder with measured tables of a bundle on this machine; profiles on first use."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "adaspring"
    profile_if_missing(name, folder, board(), limit_s=60.0, console=CONSOLE)
    return folder


def daemon(config: Mapping[str, Any], sysroot: Path | None = None, name: str = "har") -> DaemonProcess:
    """A daemon that serves a bundle with measured tables of this machine."""
    described = {"bundle": name, "device": {"profile": board()}, **config}
    return DaemonProcess(described, state=state(name), sysroot=sysroot)


def windows() -> npt.NDArray[np.float32]:
    """The HAR windows that ship with the project, shape ``(n, 9, 128)``."""
    with np.load(resource("models", "har", "sample", "sample.npz"), allow_pickle=False) as arrays:
        x: npt.NDArray[np.float32] = arrays["x"].astype(np.float32)
        return x


def frames_of(name: str, count: int = 64) -> npt.NDArray[np.float32]:
    """Frames of a bundle: real windows of HAR, noise of the right shape for others."""
    if name == "har":
        return windows()[:count]
    shape = bundle(name).manifest.input.shape
    return np.random.default_rng(5).standard_normal((count, *shape), dtype=np.float32)


def free_ports(count: int) -> int:
    """The first of some ports in a row that nobody uses, below those that the kernel gives to connections."""
    for first in range(*PORTS, count):
        with ExitStack() as probes:
            try:
                for port in range(first, first + count):
                    probes.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
            return first
    raise SystemExit(f"no {count} ports in a row are free from {PORTS[0]} on")


def percentile(values: npt.ArrayLike, percent: float) -> float:
    """A percentile, rounded for people."""
    return round(float(np.percentile(np.asarray(values), percent)), 3)


def finish(figures: Mapping[str, Any]) -> None:
    """Print the result as the last line of standard output."""
    sys.stderr.flush()
    print(json.dumps(figures), flush=True)
