"""The faces that reach beyond sockets of this machine's files, each opened only where it is configured."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import zmq

from adaspring.app.config import ServeConfig
from adaspring.serve.curve import CurveListener
from adaspring.serve.protocol import Limits
from adaspring.serve.server import INPROC


def open_tcp(config: ServeConfig, context: zmq.Context[zmq.Socket[bytes]], stack: ExitStack) -> CurveListener | None:
    """What the data plane binds to serve TCP; None where that is not configured.

    Args:
        config: The inference socket.
        context: Of the data plane.
        stack: Closes the listener.

    Raises:
        ConfigError: If the keys cannot be used.
    """
    if not config.tcp:
        return None
    curve = CurveListener(context, config.tcp, secret=Path(config.curve_secret), clients=Path(config.curve_clients))
    stack.callback(curve.close)
    return curve


def open_http(config: ServeConfig, context: zmq.Context[zmq.Socket[bytes]], limits: Limits, stack: ExitStack) -> None:
    """Serve HTTP, where that is configured; the data plane is bound already.

    Args:
        config: The inference socket.
        context: Of the data plane.
        limits: What a message may be.
        stack: Closes the server.

    Raises:
        ConfigError: If the address cannot be used.
    """
    if not config.http:
        return
    # Imported late: few want it.
    from adaspring.serve.http.server import HttpServer  # noqa: PLC0415

    server = HttpServer(context, config.http, INPROC, limits)
    stack.callback(server.close)
    server.start()
