"""A daemon as a process of its own: for the demonstration, the tests and the benchmarks."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from adaspring.client import Client, ControlClient, EventSubscriber
from adaspring.errors import ClientError, ConfigError


class DaemonProcess:
    """Starts ``adaspringd`` with a configuration and folders of its own, and ends it.

    Use as a context manager: it is ready inside, and gone outside.

    Attributes:
        folder: Holds configuration, sockets and log; removed at the end.
        process: The process.
        ready_s: From starting the process to its first answer, in seconds.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        *,
        state: Path | None = None,
        sysroot: Path | None = None,
        timeout_s: float = 20.0,
    ) -> None:
        """Describe the daemon; entering starts it.

        Args:
            config: Configuration as nested mappings; folders are filled in.
            state: State folder with device tables; default: one of its own.
            sysroot: Tree in which sensors are read; default: the device's own.
            timeout_s: How long it may take to answer.
        """
        # Paths of UNIX sockets may have 107 bytes at most, so not below a deep test folder.
        self._temporary = tempfile.TemporaryDirectory(prefix="adaspring-", ignore_cleanup_errors=True)
        self.folder = Path(self._temporary.name)
        paths = {"runtime": str(self.folder / "run"), "state": str(state or self.folder / "state")}
        (self.folder / "adaspringd.toml").write_text(to_toml({**config, "paths": paths}), encoding="utf-8")
        self._sysroot = sysroot
        self._timeout_s = timeout_s
        self.process: subprocess.Popen[bytes]
        self.ready_s = 0.0

    def __enter__(self) -> DaemonProcess:  # noqa: PYI034 - typing.Self came with Python 3.11
        """Start it and wait until it answers.

        Raises:
            ConfigError: If it ended instead; the message is its log.
            ClientError: If it does not answer in time.
        """
        command = [sys.executable, "-m", "adaspring.cli.adaspringd", "--config", str(self.folder / "adaspringd.toml")]
        if self._sysroot is not None:
            command += ["--sysroot", str(self._sysroot)]
        started = time.monotonic()
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            self._wait(started + self._timeout_s)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        self.ready_s = time.monotonic() - started
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End it if it still runs, and remove its folder."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._temporary.cleanup()

    @property
    def log(self) -> Path:
        """What it wrote to standard error."""
        return self.folder / "log"

    @property
    def endpoint(self) -> str:
        """The inference socket."""
        return f"ipc://{self.folder}/run/infer.sock"

    def client(self, **options: Any) -> Client:
        """A client of the inference socket."""
        return Client(self.endpoint, **options)

    def control(self) -> ControlClient:
        """A client of the control socket."""
        return ControlClient(f"ipc://{self.folder}/run/control.sock")

    def events(self) -> EventSubscriber:
        """A subscriber to all events."""
        return EventSubscriber(f"ipc://{self.folder}/run/events.sock")

    def stop(self, timeout_s: float = 10.0) -> int:
        """Ask it to drain and end; returns its exit code."""
        self.process.terminate()
        return self.process.wait(timeout=timeout_s)

    def _wait(self, deadline: float) -> None:
        socket = self.folder / "run" / "infer.sock"
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise ConfigError(f"adaspringd ended with {self.process.returncode}: {self.log.read_text()}")
            if socket.exists() and self._answers():
                return
            time.sleep(0.01)
        raise ClientError(f"adaspringd does not answer after {self._timeout_s:.0f} s: {self.log.read_text()}")

    def _answers(self) -> bool:
        try:
            with self.client(timeout_s=0.2, retries=0) as client:
                return client.ready()
        except ClientError:
            return False


def to_toml(table: Mapping[str, Any], prefix: str = "") -> str:
    """Nested mappings and lists of them as TOML; strings, numbers, booleans and other lists are as in JSON."""
    tables = {key: value for key, value in table.items() if isinstance(value, list) and _has_mappings(value)}
    plain = {key: value for key, value in table.items() if not isinstance(value, Mapping) and key not in tables}
    lines = [f"{key} = {msgspec.json.encode(value).decode()}" for key, value in plain.items()]
    for key, value in table.items():
        if isinstance(value, Mapping):
            lines += ["", f"[{prefix}{key}]", to_toml(value, f"{prefix}{key}.")]
    for key, rows in tables.items():
        for row in rows:
            lines += ["", f"[[{prefix}{key}]]", to_toml(row, f"{prefix}{key}.")]
    return "\n".join(lines)


def _has_mappings(values: list[Any]) -> bool:
    return any(isinstance(value, Mapping) for value in values)
