"""Telling the service manager how it goes (sd_notify).

The protocol is a datagram of ``KEY=value`` lines to the socket named by
``NOTIFY_SOCKET``; see sd_notify(3). systemd-python is used where it is
installed, a plain writer where not.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import import_module

#: Sends one line; raises OSError where the manager does not take it.
Send = Callable[[str], None]

#: How long a manager that is busy is waited for, in seconds.
SEND_TIMEOUT_S = 0.5


class Notifier:
    """Sends state changes to the service manager; does nothing where there is none.

    Attributes:
        watchdog_s: The manager ends us when it hears nothing for so long, in seconds; None if it does not watch.
    """

    def __init__(self, send: Send | None, watchdog_s: float | None) -> None:
        """Use a sender; see `from_environment`."""
        self._send = send
        self.watchdog_s = watchdog_s

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Notifier:
        """The notifier that ``NOTIFY_SOCKET`` and ``WATCHDOG_USEC`` ask for."""
        address = environment.get("NOTIFY_SOCKET", "")
        if not address:
            return cls(None, None)
        return cls(_systemd_sender() or _plain_sender(address), _watchdog_s(environment))

    def ready(self) -> None:
        """The sockets answer."""
        self._tell("READY=1")

    def reloading(self, monotonic_s: float) -> None:
        """The daemon takes other configuration; `ready` ends it.

        Args:
            monotonic_s: Monotonic clock, in seconds: the manager tells by it which reload is meant.
        """
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={monotonic_s * 1e6:.0f}")

    def status(self, text: str) -> None:
        """One line for ``systemctl status``."""
        self._tell(f"STATUS={text}")

    def watchdog(self) -> None:
        """Both threads have made progress; told where the manager watches."""
        if self.watchdog_s is not None:
            self._tell("WATCHDOG=1")

    def stopping(self) -> None:
        """The daemon drains and ends."""
        self._tell("STOPPING=1")

    def _tell(self, line: str) -> None:
        if self._send is not None:
            # A manager that went away must not take the service with it.
            with suppress(OSError):
                self._send(line)


def _watchdog_s(environment: Mapping[str, str]) -> float | None:
    # WATCHDOG_PID names who must answer; a child that inherits the variables must not.
    for_us = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    microseconds = environment.get("WATCHDOG_USEC", "")
    return int(microseconds) / 1e6 if for_us and microseconds.isdecimal() and int(microseconds) else None


def _systemd_sender() -> Send | None:
    try:
        notify = import_module("systemd.daemon").notify
    except ImportError:
        return None

    def send(line: str) -> None:
        notify(line)

    return send


def _plain_sender(address: str) -> Send:
    # "@" stands for the NUL byte of the abstract namespace.
    target = "\0" + address[1:] if address.startswith("@") else address

    def send(line: str) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.settimeout(SEND_TIMEOUT_S)
            channel.sendto(line.encode(), target)

    return send
