"""A socket that the service manager opened before us and hands over (sd_listen_fds(3))."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

from adaspring.errors import ConfigError

#: Where handed descriptors begin.
FIRST_FD = 3


def listening_socket(environment: Mapping[str, str], path: str) -> int | None:
    """The descriptor of the inference socket that was handed over.

    It stays open, so that a reload finds it again: that begins the same process anew.

    Args:
        environment: Of the process.
        path: Where the inference socket is to be.

    Returns:
        The descriptor; None where nothing was handed over to this process.

    Raises:
        ConfigError: If what was handed over is something else.
    """
    if environment.get("LISTEN_PID") != str(os.getpid()):
        return None
    count = environment.get("LISTEN_FDS", "")
    if count != "1":
        raise ConfigError(
            f"the service manager hands over {count or 'no'} sockets; adaspringd.socket must list the inference"
            " socket alone"
        )
    # `socket` closes what it is given.
    with socket.socket(fileno=os.dup(FIRST_FD)) as handed:
        address = handed.getsockname()
        if not handed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) or address != path:
            raise ConfigError(
                f"the service manager hands over a socket at {address!r}; the daemon serves at {path}: make"
                " ListenStream= in adaspringd.socket and paths.runtime agree"
            )
    return FIRST_FD
