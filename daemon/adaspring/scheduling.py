"""How a thread gives way to others: long slices, and the idle policy.

**Slices.** Since Linux 6.12 a thread may ask for a slice of its own, without a privilege and without giving up any of
its share: who runs in longer slices is interrupted at once by those that wake up with shorter ones, and gets its time
back later. That is what work in the background wants to be like: with the slices that all have (1.4 to 2.8 ms) a
thread that was woken by a frame waits for longer than the frame takes to compute.

**The idle policy.** A thread under it computes only while its core has nothing else to do, and who wakes up is put on
that core as if it were free, which no slice brings about. But it has almost no share: one that holds the interpreter's
lock keeps everybody waiting for as long as others are busy. And without a privilege a thread comes back from there
only where RLIMIT_NICE allows its niceness (``LimitNICE=`` of a unit).
"""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from struct import Struct
from threading import Thread
from types import MappingProxyType

#: The longest slice that Linux grants, in milliseconds.
LONG_SLICE_MS = 100

#: Numbers of sched_setattr and sched_getattr, which the C library wraps only since glibc 2.41.
_CALLS = MappingProxyType({"x86_64": (314, 315), "aarch64": (274, 275)})

#: ``struct sched_attr`` as of Linux 3.14: size, policy, flags, nice, priority, runtime, deadline, period.
_ATTRIBUTES = Struct("=IIQiIQQQ")
_RUNTIME = 5
#: Policies of ordinary threads, the only ones whose runtime is a slice: SCHED_OTHER and SCHED_BATCH.
_ORDINARY = (0, 3)


def slice_ms(thread: int = 0) -> float | None:
    """The slice of a thread, in milliseconds; None where the kernel does not tell one.

    Args:
        thread: As the kernel numbers it; 0 is the calling one.
    """
    attributes = _attributes(thread)
    return attributes[_RUNTIME] / 1e6 if attributes is not None and attributes[_RUNTIME] else None


def ask_for_slice(milliseconds: float) -> bool:
    """Ask for slices of another length for the calling thread; threads that it starts later inherit them.

    Args:
        milliseconds: 0.1 to 100; 0 for those that all have.

    Returns:
        Whether the kernel took it. One older than 6.12 takes it and does nothing.
    """
    attributes = _attributes()
    if attributes is None or attributes[1] not in _ORDINARY:
        return False
    _, policy, flags, nice, priority, *_ = attributes
    wanted = _ATTRIBUTES.pack(_ATTRIBUTES.size, policy, flags, nice, priority, round(milliseconds * 1e6), 0, 0)
    return _call(_CALLS[platform.machine()][0], 0, wanted)


@contextmanager
def giving_way() -> Iterator[None]:
    """Run in long slices within the block, and so be interrupted at once by who wakes up."""
    ask_for_slice(LONG_SLICE_MS)
    try:
        yield
    finally:
        ask_for_slice(0)


def may_be_idle() -> bool:
    """Whether threads of this process may take the idle policy and come back; tried out in a thread that ends then."""
    came_back: list[bool] = []

    def go_and_return() -> None:
        with suppress(OSError):
            be_idle(0, idle=True)
            be_idle(0, idle=False)
            came_back.append(True)

    trial = Thread(target=go_and_return)
    trial.start()
    trial.join()
    return bool(came_back)


def be_idle(thread: int, *, idle: bool) -> None:
    """Put a thread of this process under the idle policy, or back under the ordinary one.

    Args:
        thread: As the kernel numbers it; 0 is the calling one.
        idle: Which of the two.

    Raises:
        OSError: If the kernel or a sandbox does not allow it.
    """
    os.sched_setscheduler(thread, os.SCHED_IDLE if idle else os.SCHED_OTHER, os.sched_param(0))


def _attributes(thread: int = 0) -> tuple[int, ...] | None:
    numbers = _CALLS.get(platform.machine())
    buffer = ctypes.create_string_buffer(_ATTRIBUTES.size)
    if numbers is None or not _call(numbers[1], thread, buffer, _ATTRIBUTES.size):
        return None
    return _ATTRIBUTES.unpack(buffer.raw)


def _call(number: int, thread: int, *arguments: object) -> bool:
    """A system call about a thread, without flags; whether it went well."""
    return int(ctypes.CDLL(None).syscall(number, thread, *arguments, 0)) == 0
