"""What the firmware of a Raspberry Pi says about throttling.

The driver raspberrypi-firmware of the Raspberry Pi kernel shows the word in hexadecimal
without a prefix (``get_throttled_show`` in drivers/firmware/raspberrypi.c). Bits 0 to 3
tell about now: undervoltage, clock capped, throttled, soft temperature limit; bits 16 to
19 tell the same since boot (raspberrypi.com/documentation/computers/os.html#get_throttled).
Some kernels call the file deprecated, and say so in their log at the first read; nothing in
sysfs replaces it for anything but undervoltage.
"""

from __future__ import annotations

from collections.abc import Mapping

from adaspring.context.model import Reading
from adaspring.context.sysroot import Sysroot, take, within
from adaspring.errors import SensorError

_PLATFORM = "/sys/devices/platform"
_NOW = 0xF
_WORD = float(0xFFFF_FFFF)


class FirmwareSensor:
    """``firmware_throttled``: 1 while the firmware slows the board down or undervoltage threatens it, else 0."""

    def __init__(self, sysroot: Sysroot) -> None:
        """Take the tree to read in."""
        self._sysroot = sysroot
        self._paths: list[str] = []

    def discover(self) -> None:
        """Find the firmware node: ``soc/soc:firmware``, with an address in the names from Raspberry Pi 5 on."""
        self._paths = [
            f"{node}/get_throttled"
            for soc in self._sysroot.entries(_PLATFORM, "soc*")
            for node in self._sysroot.entries(soc, "soc*:firmware")
        ]

    def read(self) -> Mapping[str, Reading]:
        """Whether one of the bits of now is set."""
        return {"firmware_throttled": take(self._paths[0] if self._paths else _PLATFORM, self._is_throttled)}

    def _is_throttled(self) -> float:
        if not self._paths:
            raise SensorError(f"{_PLATFORM} has no Raspberry Pi firmware")
        word = self._sysroot.number(self._paths[0], base=16)
        within(word, 0.0, _WORD, self._paths[0])
        return float(word & _NOW != 0)
