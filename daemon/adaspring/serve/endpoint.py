"""Claiming an ipc endpoint, so that no daemon takes the socket of another.

libzmq removes whatever stands at the path before it binds, so it would silently take a
live socket over. A lock beside the socket decides who may bind; the kernel gives it back
when its holder dies, however it dies.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import zmq

from adaspring.errors import AlreadyRunningError, ConfigError

_SCHEME = "ipc://"
#: Bytes of a path that the kernel has room for in a socket's address (man 7 unix).
MAX_PATH_BYTES = 107

#: Modes of the daemon's sockets: its group may infer and listen, its user alone controls.
DATA_MODE = 0o660
CONTROL_MODE = 0o600


class Claim:
    """An endpoint that nobody else may bind. `claim` makes it."""

    def __init__(self, path: Path, mode: int, lock_fd: int, listen_fd: int | None = None) -> None:
        """Hold a lock that was won, and the socket that is there already."""
        self.path = path
        self.mode = mode
        self.endpoint = _SCHEME + str(path)
        self._lock_fd = lock_fd
        self._listen_fd = listen_fd

    def __enter__(self) -> Claim:  # noqa: PYI034 - typing.Self came with Python 3.11
        """Do nothing: the claim is held already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release."""
        self.release()

    def bind(self, socket: zmq.Socket[bytes]) -> None:
        """Bind a socket here and set its mode, or take over the one that listens here for us.

        Call it before other threads create files: it changes the umask of the process
        for a moment, so that the socket is never open to more than its mode says.

        Raises:
            ConfigError: If the file cannot be made.
        """
        if self._listen_fd is not None:
            self._take_over(socket, self._listen_fd)
            return
        umask = os.umask(0o177)
        try:
            socket.bind(self.endpoint)
        except zmq.ZMQError as error:
            raise ConfigError(
                f"cannot bind {self.endpoint}: {error.strerror}; check the folder's owner and mode"
            ) from error
        finally:
            os.umask(umask)
        self.path.chmod(self.mode)

    def _take_over(self, socket: zmq.Socket[bytes], listen_fd: int) -> None:
        # libzmq closes what it is given, with the listener; the file and its mode it leaves alone.
        fd = os.dup(listen_fd)
        os.set_blocking(fd, False)
        socket.set(zmq.USE_FD, fd)
        try:
            socket.bind(self.endpoint)
        finally:
            # Endpoints to come are not this one.
            socket.set(zmq.USE_FD, -1)

    def release(self) -> None:
        """Remove lock and socket, unless somebody else opened that.

        Call it when the context of the bound socket has been terminated: libzmq removes
        the file of a closed socket in its own time, and might hit that of a successor.
        """
        if self._lock_fd < 0:
            return
        if self._listen_fd is None:
            with suppress(FileNotFoundError):
                self.path.unlink()
        # The lock file goes before the lock: see `_lock`.
        with suppress(FileNotFoundError):
            _lock_path(self.path).unlink()
        os.close(self._lock_fd)
        self._lock_fd = -1


def claim(endpoint: str, *, mode: int, listen_fd: int | None = None) -> Claim:
    """Claim an endpoint, and remove a socket that a dead daemon left there.

    Args:
        endpoint: ``ipc://`` and an absolute path.
        mode: Mode of the socket, whatever the umask is.
        listen_fd: A socket that listens there already, opened for us; its mode stays. None to open one.

    Raises:
        AlreadyRunningError: If another process holds it; that process is left unharmed.
        ConfigError: If the endpoint cannot be used.
    """
    path = _ipc_path(endpoint)
    _make_folder(path.parent)
    lock_fd = _lock(path)
    try:
        if listen_fd is None:
            _remove_stale(path)
    except BaseException:
        os.close(lock_fd)
        raise
    return Claim(path, mode, lock_fd, listen_fd)


def _ipc_path(endpoint: str) -> Path:
    if endpoint.startswith("tcp://"):
        raise ConfigError(f"endpoint {endpoint!r}: TCP is served beside ipc, and with CURVE alone: set serve.tcp")
    name = endpoint.removeprefix(_SCHEME)
    if name == endpoint or not name.startswith("/"):
        raise ConfigError(
            f"endpoint {endpoint!r}: expected ipc:// and an absolute path, for example ipc:///run/adaspring/infer.sock"
        )
    length = len(os.fsencode(name))
    if length > MAX_PATH_BYTES:
        raise ConfigError(
            f"endpoint {endpoint!r}: its path has {length} bytes; choose one of at most {MAX_PATH_BYTES},"
            " which is what the kernel takes"
        )
    return Path(name)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True)
        folder.chmod(0o750)
    except FileExistsError:
        if not folder.is_dir():
            raise ConfigError(f"{folder} is no folder; sockets need one") from None
    except OSError as error:
        raise ConfigError(f"cannot make the folder {folder} for sockets: {error.strerror}") from error


def _lock_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")


def _lock(path: Path) -> int:
    """Win the lock beside a socket, and write our process id into it."""
    lock_path = _lock_path(path)
    while True:
        try:
            fd = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise ConfigError(
                f"cannot open the lock {lock_path}: {error.strerror}; check its owner and mode"
            ) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(fd)
            raise AlreadyRunningError(
                f"another daemon (process {holder}) serves {path}; stop it, or configure another endpoint"
            ) from None
        # Between our open and our lock a daemon that ended may have removed the file;
        # then somebody else can lock a new one, and ours guards nothing.
        if _is_same_file(fd, lock_path):
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
            return fd
        os.close(fd)


def _is_same_file(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False


def _remove_stale(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ConfigError(f"{path} exists and is no socket; remove it, or configure another endpoint")
    # The lock may have been removed behind its holder's back, or the socket be another program's.
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        if probe.connect_ex(str(path)) != errno.ECONNREFUSED:
            raise AlreadyRunningError(f"another program listens on {path}; stop it, or configure another endpoint")
    try:
        path.unlink()
    except OSError as error:
        raise ConfigError(
            f"cannot remove the stale socket {path}: {error.strerror}; check its folder's owner"
        ) from error
