"""Traces by the kind of their file; public traces of a phone, a processor and a home among them."""

from __future__ import annotations

from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from adaspring.errors import DataError
from adaspring.simulate.trace import Trace, load_trace, trace_of

_DAY_S = 86_400.0
_MINUTE_S = 60.0
#: Frames a second that a sensor event of a home asks for in the minute that it falls into, and those of a quiet minute.
EVENT_HZ, QUIET_HZ = 10.0, 1.0
#: Rows of the phone's battery farther apart than this belong to different runs, in seconds.
PHONE_GAP_S = 300.0
#: Where in the day of a home the replay begins: when people are up.
MINUTES = 1440
FIRST_MINUTE = 8 * 60


def load_recorded(path: Path, home: str = "b") -> Trace:
    """Read a trace of any kind.

    Args:
        path: ``.csv`` or ``.jsonl`` (see `load_trace`), or an ``.npz`` of public traces.
        home: Of an ``.npz``, the home whose events are taken: ``"a"`` or ``"b"``.

    Raises:
        DataError: If it cannot be read.
    """
    return _public(path, home) if path.suffix == ".npz" else load_trace(path)


def _public(path: Path, home: str) -> Trace:
    """The longest run of a phone's battery, with a home's busiest day and a processor's warmth beside it.

    The three were recorded at different places and times: what is put together is a made-up
    day of real pieces. A row of the processor's trace, which is short, stands for a minute.
    """
    names = ("phone_time", "phone_percent", "pi_cpu_temp_c", f"home{home}_start")
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            phone_s, percent, warmth, events_s = (np.asarray(file[name], dtype=np.float64) for name in names)
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file of traces") from None
    except KeyError as error:
        raise DataError(f"{path}: {error.args[0]}; a file of traces holds {', '.join(names)}") from None
    except (OSError, ValueError, BadZipFile) as error:
        raise DataError(f"{path}: this is no file of traces: {error}") from error
    days = ((events_s - events_s.min()) // _DAY_S).astype(int)
    busiest = int(np.bincount(days).argmax())
    minute_of = (events_s[days == busiest] % _DAY_S // _MINUTE_S).astype(int)
    counts = np.bincount(minute_of, minlength=MINUTES)
    runs = np.split(np.arange(len(phone_s)), np.flatnonzero(np.diff(phone_s) > PHONE_GAP_S) + 1)
    rows = max(runs, key=len)
    minutes = np.arange(len(rows))
    asked = counts[(minutes + FIRST_MINUTE) % len(counts)]
    return trace_of(
        {
            "time_s": np.asarray(minutes * _MINUTE_S, dtype=np.float64),
            "battery_percent": percent[rows],
            "temperature_c": warmth[minutes % len(warmth)],
            "event_rate_hz": np.asarray(QUIET_HZ + EVENT_HZ * asked, dtype=np.float64),
        }
    )
