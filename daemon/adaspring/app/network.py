"""The faces that reach beyond sockets of this machine's files, each opened only where it is configured."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

import zmq

from adaspring.app.config import ServeConfig
from adaspring.app.credentials import is_credential, key_file, key_files
from adaspring.errors import ConfigError
from adaspring.serve.curve import CurveListener, ListenerKeys
from adaspring.serve.measurements import Refusals
from adaspring.serve.protocol import Limits, ModelSignature
from adaspring.serve.server import INPROC

if TYPE_CHECKING:
    from adaspring.serve.http.server import HttpServer


def tcp_keys(config: ServeConfig) -> ListenerKeys | None:
    """What TCP is served with; None where it is not configured.

    Raises:
        ConfigError: If the keys cannot be used.
    """
    if not config.tcp:
        return None
    secret = key_file(config.curve_secret)
    return ListenerKeys.load(secret, key_files(config.curve_clients), guarded=is_credential(secret))


def open_tcp(config: ServeConfig, context: zmq.Context[zmq.Socket[bytes]], stack: ExitStack) -> CurveListener | None:
    """What the data plane binds to serve TCP; None where that is not configured.

    Args:
        config: The inference socket.
        context: Of the data plane.
        stack: Closes the listener.

    Raises:
        ConfigError: If the keys cannot be used.
    """
    keys = tcp_keys(config)
    if keys is None:
        return None
    curve = CurveListener(context, config.tcp, keys)
    stack.callback(curve.close)
    return curve


def http_face(config: ServeConfig) -> type[HttpServer] | None:
    """What serves HTTP; None where it is not configured.

    Raises:
        ConfigError: If the library is missing.
    """
    if not config.http:
        return None
    try:
        from adaspring.serve.http.server import HttpServer  # noqa: PLC0415 - most devices do without
    except ImportError as error:
        raise ConfigError("serve.http needs the h11 package: pip install 'adaspring[http]'") from error
    return HttpServer


def open_http(
    config: ServeConfig,
    context: zmq.Context[zmq.Socket[bytes]],
    models: Sequence[ModelSignature],
    limits: Limits,
    stack: ExitStack,
) -> Refusals | None:
    """Serve HTTP, where that is configured; the data plane is bound already.

    Args:
        config: The inference socket.
        context: Of the data plane.
        models: What is served.
        limits: What a message may be.
        stack: Closes the server.

    Returns:
        What it refuses itself, which it goes on to count; None where it is not configured.

    Raises:
        ConfigError: If the library is missing, or the address cannot be used.
    """
    face = http_face(config)
    if face is None:
        return None
    server = face(context, config.http, INPROC, models, limits)
    stack.callback(server.close)
    server.start()
    return server.refusals
