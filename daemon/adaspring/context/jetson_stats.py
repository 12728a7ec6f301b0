"""Power of Jetson boards through jetson-stats, where a person installed it.

jetson-stats (package ``jtop``) is under the AGPL, so AdaSpring neither ships nor needs
it: it is imported only if the extra ``jetson`` put it there, and asked only for what
sysfs does not tell. It talks to a service of its own and can fail in any way of its
libraries'; every failure makes the reading absent, with its reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from adaspring.context.model import Reading
from adaspring.context.sysroot import take, within
from adaspring.errors import SensorError

_SOURCE = "jetson-stats"
#: No Jetson draws more, in watts.
_MOST_W = 200.0


class JetsonStatsSensor:
    """``jetson_stats_power_w``: what the whole board draws, as jetson-stats totals its rails."""

    quantities = ("jetson_stats_power_w",)
    #: Its service sends twice a second, so that after so long there is something new and nothing to wait for.
    interval_s = 2.0

    def __init__(self, *, live: bool) -> None:
        """Ask only about this device.

        Args:
            live: Whether sensors are read on this device, not in a tree that stands for another.
        """
        self._live = live
        self._service: Any = None
        self._reason = "not asked yet"
        self._missing = False

    def discover(self) -> None:
        """Connect to the service, unless that was done."""
        if self._service is not None or self._missing:
            return
        if not self._live:
            self._reason = "it speaks of this device, and another is read"
        else:
            self._connect()

    def read(self) -> Mapping[str, Reading]:
        """The total that was sent last."""
        return {"jetson_stats_power_w": take(_SOURCE, self._power_w)}

    def _connect(self) -> None:
        try:
            service = import_module("jtop").jtop()
            # It is a thread; ours must be able to end without it.
            service.daemon = True
            service.start()
        except ModuleNotFoundError:
            self._missing = True
            self._reason = "it is not installed (pip install adaspring[jetson])"
        # Missing service, wrong version, wrong group: each has an exception of its own library.
        except Exception as error:  # noqa: BLE001 - whatever fails there is a reason here
            self._reason = f"{type(error).__name__}: {error}"
        else:
            self._service = service

    def _power_w(self) -> float:
        if self._service is None:
            raise SensorError(f"{_SOURCE}: {self._reason}")
        try:
            # What its thread read last stays there when the connection is lost; only this tells
            # (jtop.py of jetson-stats). It waits where nothing new has come since the last look.
            heard = self._service.ok()
            power_w = float(self._service.power["tot"]["power"]) * 1e-3
        except Exception as error:
            raise self._lost(f"{type(error).__name__}: {error}") from error
        if not heard:
            raise self._lost("its service sends nothing any more")
        return within(power_w, 0.0, _MOST_W, _SOURCE)

    def _lost(self, reason: str) -> SensorError:
        self._service, self._reason = None, reason
        return SensorError(f"{_SOURCE}: {reason}")
