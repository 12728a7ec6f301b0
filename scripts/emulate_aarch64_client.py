"""The other side of emulate-aarch64.sh: wait for the emulated daemon, send it windows, print what came back."""

from __future__ import annotations

import sys
import time

import numpy as np

from adaspring.client import Client, ControlClient
from adaspring.errors import ClientError
from adaspring.resources import resource

#: An emulated start takes tens of seconds.
_START_S = 300.0


def main(runtime: str) -> None:
    """Classify the sample of the HAR bundle and hold the answers against its labels.

    Args:
        runtime: Folder of the sockets.
    """
    with np.load(resource("models", "har", "sample", "sample.npz"), allow_pickle=False) as sample:
        windows, labels, names = sample["x"].astype(np.float32), sample["y"], sample["class_names"]
    with Client(f"ipc://{runtime}/infer.sock", timeout_s=30.0, retries=0) as client:
        _wait(client)
        results = [client.infer(window) for window in windows]
    right = sum(result.label == names[label] for result, label in zip(results, labels, strict=True))
    with ControlClient(f"ipc://{runtime}/control.sock", timeout_s=30.0) as control:
        status = control.call("status")
    print(f"engine {status['engine']}, board {status['device']}, subnet {status['subnet']}")
    print(f"{right} of {len(labels)} sample windows classified right, by {results[-1].subnet}")
    readings = {name: reading["value"] for name, reading in status["readings"].items() if reading["value"] is not None}
    print(f"readings: {', '.join(sorted(readings))}")


def _wait(client: Client) -> None:
    until_s = time.monotonic() + _START_S
    while time.monotonic() < until_s:
        try:
            if client.ready():
                return
        except ClientError:
            pass
        time.sleep(1.0)
    raise SystemExit(f"the daemon does not answer after {_START_S:.0f} s")


if __name__ == "__main__":
    main(sys.argv[1])
