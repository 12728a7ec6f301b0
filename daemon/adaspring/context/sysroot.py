"""Reading the small files of sysfs and procfs without ever waiting for one."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable
from fnmatch import fnmatch
from pathlib import Path
from typing import TypeVar

from adaspring.context.model import Reading
from adaspring.errors import SensorError

Device = TypeVar("Device")
Value = TypeVar("Value")

#: Bytes read of a file; what sensors look for stands in the first few lines.
_LIMIT = 4096
#: The same where a whole file is asked for; a configuration file has less.
_WHOLE = 1 << 18
#: Digits that a number may have; sysfs counts in micro-units, so 20 are plenty.
_DIGITS = 20

_REASONS = {
    errno.ENOENT: "is not there",
    errno.EAGAIN: "has no value at the moment",
    errno.EACCES: "may not be read by this user",
    errno.EPERM: "may not be read by this user",
}


class Sysroot:
    """A tree of sensor files: that of this device, or one that stands for another.

    Paths are given and reported as on the device, for example ``/proc/meminfo``.
    """

    def __init__(self, root: Path) -> None:
        """Take the root of the tree; ``/`` is this device."""
        self._prefix = str(root).rstrip("/")

    def text(self, path: str, *, whole: bool = False) -> str:
        """The text of a file, stripped.

        The file is opened without blocking, so a FIFO or a device in its place cannot hold
        the caller.

        Args:
            path: Of the file.
            whole: Whether more than the first 4096 bytes matter.

        Raises:
            SensorError: If it cannot be read or holds nothing.
        """
        try:
            descriptor = os.open(self._prefix + path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                content = os.read(descriptor, _WHOLE if whole else _LIMIT)
            finally:
                os.close(descriptor)
        except OSError as error:
            reason = _REASONS.get(error.errno or 0, f"cannot be read: {error.strerror}")
            raise SensorError(f"{path} {reason}") from error
        text = content.decode("utf-8", errors="replace").strip()
        if not text:
            raise SensorError(f"{path} is empty")
        return text

    def number(self, path: str, base: int = 10) -> int:
        """The whole number that a file holds.

        Raises:
            SensorError: As `text`, or if it holds something else.
        """
        text = self.text(path)
        try:
            return int(text[: _DIGITS + 1], base)
        except ValueError:
            raise SensorError(f"{path} holds {text[:40]!r}, not a number") from None

    def exists(self, path: str) -> bool:
        """Whether there is something at a path."""
        return os.path.lexists(self._prefix + path)

    def entries(self, folder: str, pattern: str = "*") -> list[str]:
        """Paths of the entries of a folder whose name fits, sorted; none if it cannot be read."""
        try:
            names = sorted(os.listdir(self._prefix + folder))  # noqa: PTH208 - paths here are those of the device
        except OSError:
            return []
        return [f"{folder}/{name}" for name in names if fnmatch(name, pattern)]


def within(value: float, low: float, high: float, what: str) -> float:
    """The value, if it can be true.

    Raises:
        SensorError: If it lies outside of what the quantity can be, or is not a number.
    """
    if not low <= value <= high:
        raise SensorError(f"{what} says {value:g}, which cannot be (valid is {low:g} to {high:g})")
    return value


def take(source: str, read: Callable[[], float], *, note: str = "") -> Reading:
    """A reading from a function that may raise `SensorError`; the error becomes the reason."""
    try:
        return Reading(read(), source, note=note)
    except SensorError as error:
        return Reading(None, source, str(error))


def gather(devices: Iterable[Device], read: Callable[[Device], Value]) -> tuple[list[Value], str]:
    """What every device says, those passed over that say nothing.

    Args:
        devices: To be read.
        read: Reads one; may raise `SensorError`.

    Returns:
        The values, and the reasons of the others.
    """
    values: list[Value] = []
    reasons: list[str] = []
    for device in devices:
        try:
            values.append(read(device))
        except SensorError as error:  # noqa: PERF203 - one dead device must not hide the next
            reasons.append(str(error))
    return values, "; ".join(reasons)
