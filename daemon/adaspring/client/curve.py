"""Keys for TCP: made here, loaded here, in the files that pyzmq and other CURVE programs read."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zmq
import zmq.auth

from adaspring.errors import KeysError


@dataclass(frozen=True, slots=True, repr=False)
class CurveKeys:
    """What a client needs to reach a daemon over TCP.

    Attributes:
        public: The client's public key; the daemon has it on its list.
        secret: The client's secret key.
        server: The daemon's public key.
    """

    public: bytes
    secret: bytes
    server: bytes

    @classmethod
    def load(cls, secret: str | Path, server: str | Path) -> CurveKeys:
        """Load keys.

        Args:
            secret: The client's ``.key_secret`` file.
            server: The daemon's ``.key`` file.

        Raises:
            KeysError: If a file is missing or holds no such key.
        """
        public_key, secret_key = _load(Path(secret))
        server_key, _ = _load(Path(server))
        if secret_key is None:
            raise KeysError(f"{secret} holds no secret key; name the .key_secret file")
        return cls(public_key, secret_key, server_key)

    def apply(self, socket: zmq.Socket[Any]) -> None:
        """Have a socket that is not connected yet use them."""
        socket.curve_publickey = self.public
        socket.curve_secretkey = self.secret
        socket.curve_serverkey = self.server


def create_keys(folder: Path, name: str) -> tuple[Path, Path]:
    """Make a pair of keys that no one else may read the secret of.

    Args:
        folder: Made if it is not there.
        name: Of the pair, for example of the machine that will use it.

    Returns:
        The public file, ``NAME.key``, and the secret one, ``NAME.key_secret``.

    Raises:
        KeysError: If there are such files already, or they cannot be written.
    """
    public, secret = folder / f"{name}.key", folder / f"{name}.key_secret"
    for path in (public, secret):
        if path.exists():
            raise KeysError(f"{path} exists; remove it, or choose another name")
    # pyzmq writes with the umask of the process.
    umask = os.umask(0o077)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        zmq.auth.create_certificates(folder, name)
    except OSError as error:
        raise KeysError(f"cannot write keys to {folder}: {error.strerror}") from error
    finally:
        os.umask(umask)
    public.chmod(0o644)
    return public, secret


def _load(path: Path) -> tuple[bytes, bytes | None]:
    try:
        return zmq.auth.load_certificate(path)
    except (OSError, ValueError) as error:
        raise KeysError(f"{path}: {error}; make keys with 'adaspringctl keys'") from error
