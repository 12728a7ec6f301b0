"""TCP for clients on other machines: encrypted by CURVE, and only for keys on a list."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import zmq

from adaspring.errors import ConfigError

if TYPE_CHECKING:
    from zmq.auth.thread import ThreadAuthenticator

_SCHEME = "tcp://"
#: Names the listener to the ZAP handler (RFC 27); one without a domain is not authenticated.
_DOMAIN = "adaspring"
_MAKE_KEYS = "make keys with 'adaspringctl keys' (docs/security.md)"
#: A peer that says nothing for so long is dropped, in milliseconds: TCP alone does not notice
#: a machine that was switched off.
HEARTBEAT_MS = 10_000


@dataclass(frozen=True, slots=True, repr=False)
class ListenerKeys:
    """What a listener proves itself with, and whom it lets in.

    Attributes:
        public: The server's public key.
        secret: The server's secret key.
        clients: Public keys of those who may connect.
    """

    public: bytes
    secret: bytes
    clients: frozenset[bytes]

    @classmethod
    def load(cls, secret: Path, clients: Sequence[Path], *, guarded: bool = False) -> ListenerKeys:
        """Read keys.

        Args:
            secret: The server's ``.key_secret`` file.
            clients: The ``.key`` files of those who may connect.
            guarded: Whether somebody else sees to it that nobody but us reads the secret, whatever its mode shows.

        Raises:
            ConfigError: If a key is missing, cannot be read, or is open to others.
        """
        return cls(*_server_keys(secret, guarded=guarded), _client_keys(clients))

    def callback(self, _domain: str, key: bytes) -> bool:
        """Whether a client may connect; pyzmq's authenticator asks by this name."""
        return key in self.clients


class CurveListener:
    """A TCP endpoint that speaks CURVE, with an allow-list of clients' public keys.

    libzmq copies the options of a socket into each listener as it is bound. So one ROUTER
    can serve ipc by file mode and TCP by keys, if `bind` comes after the ipc endpoint.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], endpoint: str, keys: ListenerKeys) -> None:
        """Begin to answer libzmq's questions who may connect.

        Args:
            context: Of the socket that will be bound.
            endpoint: ``tcp://`` with address and port.
            keys: The server's, and those of its clients.

        Raises:
            ConfigError: If the endpoint is none.
        """
        if not endpoint.startswith(_SCHEME):
            raise ConfigError(f"serve.tcp is {endpoint!r}; expected tcp:// with address and port")
        # Imported late: it brings asyncio, which a daemon without TCP does not need.
        from zmq.auth.thread import ThreadAuthenticator  # noqa: PLC0415

        self.endpoint = endpoint
        self._keys = keys
        self._authenticator: ThreadAuthenticator = ThreadAuthenticator(context)
        self._authenticator.start()
        self._authenticator.configure_curve_callback(domain=_DOMAIN, credentials_provider=keys)

    def bind(self, socket: zmq.Socket[bytes]) -> None:
        """Bind a socket here; its later listeners would ask for CURVE too.

        Raises:
            ConfigError: If the address cannot be bound.
        """
        socket.curve_server = True
        socket.curve_publickey = self._keys.public
        socket.curve_secretkey = self._keys.secret
        socket.zap_domain = _DOMAIN.encode()
        # Should nobody answer libzmq's question who may connect, nobody may.
        socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
        socket.heartbeat_ivl = HEARTBEAT_MS
        try:
            socket.bind(self.endpoint)
        except zmq.ZMQError as error:
            raise ConfigError(
                f"cannot bind {self.endpoint}: {error.strerror}; is the port taken, and the address this machine's?"
            ) from error

    def close(self) -> None:
        """Stop answering who may connect; call it before the context is terminated."""
        self._authenticator.stop()


def _server_keys(path: Path, *, guarded: bool) -> tuple[bytes, bytes]:
    from zmq.auth import load_certificate  # noqa: PLC0415 - as above

    try:
        mode = path.stat().st_mode
        public, secret = load_certificate(path)
    except (OSError, ValueError) as error:
        raise ConfigError(f"serve.curve_secret: {error}; {_MAKE_KEYS}") from error
    if secret is None:
        raise ConfigError(f"serve.curve_secret: {path} holds no secret key; name the .key_secret file")
    if not guarded and stat.S_IMODE(mode) & 0o077:
        raise ConfigError(f"serve.curve_secret: {path} may be read by others; chmod 600 it, or make new keys")
    return public, secret


def _client_keys(files: Sequence[Path]) -> frozenset[bytes]:
    from zmq.auth import load_certificate  # noqa: PLC0415 - as above

    if not files:
        raise ConfigError(f"serve.curve_clients: there is no .key file, so nobody could connect; {_MAKE_KEYS}")
    try:
        return frozenset(load_certificate(file)[0] for file in files)
    except (OSError, ValueError) as error:
        raise ConfigError(f"serve.curve_clients: a key cannot be read: {error}; {_MAKE_KEYS}") from error
