"""Where the daemon is, and why nobody answers there."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any, TypeVar

import zmq

from adaspring.client.curve import CurveKeys
from adaspring.errors import ClientError, ConnectError, TimedOutError

_SCHEME = "ipc://"
_SYSTEM_FOLDER = Path("/run/adaspring")

S = TypeVar("S", bound="zmq.Socket[Any]")


def default_endpoint(name: str = "infer.sock") -> str:
    """The endpoint of the daemon on this machine.

    That is the system's daemon where its socket exists, else the one that this user runs.

    Args:
        name: ``"infer.sock"``, ``"control.sock"`` or ``"events.sock"``.
    """
    system = _SYSTEM_FOLDER / name
    user_folder = os.environ.get("XDG_RUNTIME_DIR", "")
    if system.exists() or not user_folder:
        return f"{_SCHEME}{system}"
    return f"{_SCHEME}{user_folder}/adaspring/{name}"


def connect(socket: S, endpoint: str, curve: CurveKeys | None = None) -> S:
    """Connect a new socket that keeps nothing when it is closed; it is closed on failure.

    Args:
        socket: New.
        endpoint: Where to.
        curve: Keys, which TCP needs.

    Raises:
        ConnectError: If the endpoint is none.
    """
    socket.linger = 0
    try:
        if curve is not None:
            curve.apply(socket)
        socket.connect(endpoint)
    except zmq.ZMQError as error:
        socket.close()
        raise ConnectError(
            f"cannot connect to {endpoint!r}: {error.strerror}; expected for example ipc:///run/adaspring/infer.sock"
        ) from error
    return socket


def no_answer(endpoint: str, waited_s: float) -> ClientError:
    """The error for silence: whether nobody is there, or somebody does not answer.

    Args:
        endpoint: Where the request was sent.
        waited_s: In seconds.
    """
    return nobody_there(endpoint) or TimedOutError(f"no answer from {endpoint} within {round(waited_s, 1):g} s")


def nobody_there(endpoint: str) -> ConnectError | None:
    """The error for an ipc endpoint that nobody listens on; None where somebody may.

    libzmq connects in the background and for ever; the kernel knows at once.
    """
    name = endpoint.removeprefix(_SCHEME)
    if name == endpoint:
        return None
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        try:
            probe.connect(name)
        except BlockingIOError:
            return None
        except OSError as error:
            return ConnectError(
                f"nobody answers at {endpoint}: {error.strerror}; is adaspringd running, and may this user use it?"
            )
    return None
