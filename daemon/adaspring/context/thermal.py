"""Temperature of the processor, from the thermal zones of the kernel.

Format: Documentation/driver-api/thermal/sysfs-api.rst of the kernel; ``temp`` is in
thousandths of a degree Celsius.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from adaspring.context.model import Reading
from adaspring.context.sysroot import Sysroot, gather, take, within
from adaspring.errors import SensorError

_FOLDER = "/sys/class/thermal"
#: What a silicon sensor can report; a dead one says -256, 0x7fffffff and the like.
_VALID_C = (-40.0, 150.0)
#: What a trip point that is in use can be; unused ones are 0 or far below.
_TRIP_C = (20.0, 150.0)

#: Zones on the die of the processor, as drivers name them: cpu-thermal, cpu_thermal, CPU-therm,
#: cpuss0-thermal, soc-thermal, bigcore0-thermal, GPU-therm, tj-thermal, x86_pkg_temp, TCPU, ...
_ON_DIE = re.compile(r"cpu|soc\d*[-_]|pkg_temp|core\d*[-_]|cluster|gpu|^tj[-_]", re.IGNORECASE)
#: The zone of ACPI firmware: near the processor, and all that some machines offer.
_FIRMWARE = "acpitz"


class ThermalSensor:
    """``temperature_c``: the hottest zone on the die of the processor; ``throttle_temperature_c``: where it ends.

    The second is the lowest passive trip point of those zones: there the kernel begins to lower
    clocks. Boards whose firmware does that (Raspberry Pi) have none.
    """

    quantities = ("temperature_c", "throttle_temperature_c")
    interval_s = 0.0

    def __init__(self, sysroot: Sysroot) -> None:
        """Take the tree to read in."""
        self._sysroot = sysroot
        self._zones: list[tuple[str, str]] = []
        self._others: list[str] = []
        self._trips: list[str] = []

    def discover(self) -> None:
        """List the zones by their type; their numbers mean nothing."""
        # Without a type nobody can tell what a zone measures.
        zones, _ = gather(self._sysroot.entries(_FOLDER, "thermal_zone*"), self._typed)
        on_die = [zone for zone in zones if _ON_DIE.search(zone[1])]
        self._zones = on_die or [zone for zone in zones if zone[1] == _FIRMWARE]
        self._others = [zone[1] for zone in zones if zone not in self._zones]
        self._trips = [trip for path, _ in self._zones for trip in self._passive_trips(path)]

    def read(self) -> Mapping[str, Reading]:
        """The hottest zone; zones that are dead are passed over."""
        alive, reasons = gather(self._zones, self._temperature)
        hottest = Reading(*max(alive)) if alive else Reading(None, _FOLDER, reasons or self._absence())
        return {"temperature_c": hottest, "throttle_temperature_c": take(_FOLDER, self._throttle)}

    def _throttle(self) -> float:
        trips, reasons = gather(self._trips, self._trip)
        if not trips:
            raise SensorError(reasons or "no zone of the processor has a passive trip point")
        return min(trips)

    def _trip(self, path: str) -> float:
        return within(self._sysroot.number(path) / 1000, *_TRIP_C, what=path)

    def _passive_trips(self, zone: str) -> list[str]:
        kinds = self._sysroot.entries(zone, "trip_point_*_type")
        passive, _ = gather(kinds, lambda path: (self._sysroot.text(path), path))
        return [f"{path.removesuffix('type')}temp" for kind, path in passive if kind == "passive"]

    def _typed(self, path: str) -> tuple[str, str]:
        return path, self._sysroot.text(f"{path}/type")

    def _temperature(self, zone: tuple[str, str]) -> tuple[float, str]:
        path, kind = zone
        celsius = within(self._sysroot.number(f"{path}/temp") / 1000, *_VALID_C, what=f"{path}/temp ({kind})")
        return celsius, f"{path.rpartition('/')[2]} ({kind})"

    def _absence(self) -> str:
        if self._others:
            return f"no thermal zone belongs to the processor; there are {', '.join(self._others)}"
        return f"{_FOLDER} lists no thermal zone"
