"""The time of day, once the clock can be trusted.

A board without a battery-backed clock wakes up at the time of its last shutdown, or in
1970. The kernel knows whether anybody has set the clock since (adjtimex(2)).
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable

from adaspring.context.model import Reading

#: What adjtimex(2) returns while the clock is not synchronised.
_TIME_ERROR = 5
#: More than ``struct timex`` takes on any architecture; all zero it asks and changes nothing.
_TIMEX_BYTES = 512
_SOURCE = "the local clock"


def clock_state() -> int:
    """What the kernel says of the clock: 0 to 5 as adjtimex(2) has it, -1 where it cannot be asked."""
    return int(ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES)))


def time_of_day(
    state: Callable[[], int] = clock_state, local: Callable[[], time.struct_time] = time.localtime
) -> Reading:
    """Seconds since local midnight, or why they cannot be told.

    Args:
        state: Tells what the kernel says of the clock.
        local: The local time.
    """
    said = state()
    if said == _TIME_ERROR:
        return Reading(None, _SOURCE, "the clock has not been synchronised since boot")
    if said < 0:
        return Reading(None, _SOURCE, "the kernel does not tell whether the clock is synchronised")
    now = local()
    return Reading(now.tm_hour * 3600.0 + now.tm_min * 60.0 + now.tm_sec, _SOURCE)
