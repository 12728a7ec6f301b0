"""What the firmware and the power management chip of a Raspberry Pi say.

The driver raspberrypi-firmware of the Raspberry Pi kernel shows the throttle word in hexadecimal
without a prefix (``get_throttled_show`` in drivers/firmware/raspberrypi.c); ``vcgencmd
get_throttled`` says ``throttled=0x50005``. Bits 0 to 3 tell about now: undervoltage, clock capped,
throttled, soft temperature limit; bits 16 to 19 tell the same since boot
(raspberrypi.com/documentation/computers/os.html#get_throttled). Some kernels call the file
deprecated, and say so in their log at the first read; nothing in sysfs replaces it for anything
but undervoltage, which the driver raspberrypi-hwmon shows as ``in0_lcrit_alarm`` of the chip
``rpi_volt`` (Documentation/hwmon/raspberrypi-hwmon.rst).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from adaspring.context.hwmon import HWMON, chips
from adaspring.context.model import Reading
from adaspring.context.sysroot import Sysroot, gather, take, within
from adaspring.context.vcgencmd import INTERVAL_S, Firmware
from adaspring.errors import SensorError

_PLATFORM = "/sys/devices/platform"
_COMPATIBLE = "/sys/firmware/devicetree/base/compatible"
_NOW = 0xF
_UNDERVOLTAGE = 0x1
_SINCE_BOOT = 16
_WORD = float(0xFFFF_FFFF)


class FirmwareSensor:
    """``firmware_throttled``, ``firmware_undervoltage`` and ``throttled_since_boot``, each 1 or 0.

    The first is 1 while the firmware slows the board down or undervoltage threatens it.
    """

    quantities = ("firmware_throttled", "firmware_undervoltage", "throttled_since_boot")

    def __init__(self, sysroot: Sysroot, firmware: Firmware) -> None:
        """Take the tree to read in, and whom to ask where it lacks the word."""
        self._sysroot = sysroot
        self._firmware = firmware
        self._path: str | None = None
        self._is_raspberry_pi = False
        self._asks = False

    @property
    def interval_s(self) -> float:
        """A file is read at every tick, a program is asked seldom."""
        return INTERVAL_S if self._asks else 0.0

    def discover(self) -> None:
        """Find the firmware node: ``soc/soc:firmware``, with an address in the names from Raspberry Pi 5 on."""
        self._is_raspberry_pi = "raspberrypi," in _compatible(self._sysroot)
        nodes = [
            node
            for soc in self._sysroot.entries(_PLATFORM, "soc*")
            for node in self._sysroot.entries(soc, "soc*:firmware")
        ]
        self._path = f"{nodes[0]}/get_throttled" if nodes else None

    def read(self) -> Mapping[str, Reading]:
        """All three, from one word."""
        try:
            word = self._word()
        except SensorError as error:
            source = self._path or _PLATFORM
            return {name: Reading(None, source, str(error)) for name in self.quantities}
        source = "vcgencmd get_throttled" if self._asks else str(self._path)
        values = (word & _NOW, word & _UNDERVOLTAGE, word >> _SINCE_BOOT & _NOW)
        return {name: Reading(float(value != 0), source) for name, value in zip(self.quantities, values, strict=True)}

    def _word(self) -> int:
        there = self._path is not None and self._sysroot.exists(self._path)
        self._asks = self._is_raspberry_pi and not there
        if self._asks:
            return self._asked_word()
        if self._path is None:
            raise SensorError(f"{_PLATFORM} has no Raspberry Pi firmware")
        word = self._sysroot.number(self._path, base=16)
        within(word, 0.0, _WORD, self._path)
        return word

    def _asked_word(self) -> int:
        answer = self._firmware.ask("get_throttled")
        match = re.fullmatch(r"throttled=0x([0-9a-fA-F]{1,8})", answer.strip())
        if match is None:
            raise SensorError(f"vcgencmd get_throttled says {answer.strip()[:40]!r}, not throttled=0x...")
        return int(match[1], 16)


class VoltageSensor:
    """``supply_undervoltage``: 1 while the supply of a Raspberry Pi has been too low lately, else 0."""

    quantities = ("supply_undervoltage",)
    interval_s = 0.0

    def __init__(self, sysroot: Sysroot) -> None:
        """Take the tree to read in."""
        self._sysroot = sysroot
        self._chips: list[str] = []

    def discover(self) -> None:
        """Find the chip by its name."""
        self._chips = chips(self._sysroot, ("rpi_volt",))

    def read(self) -> Mapping[str, Reading]:
        """The alarm, which the driver refreshes every two seconds."""
        return {"supply_undervoltage": take(self._chips[0] if self._chips else HWMON, self._alarm)}

    def _alarm(self) -> float:
        alarms, reasons = gather([f"{chip}/in0_lcrit_alarm" for chip in self._chips], self._flag)
        if not alarms:
            raise SensorError(reasons or f"{HWMON} has no chip rpi_volt")
        return max(alarms)

    def _flag(self, path: str) -> float:
        return within(self._sysroot.number(path), 0, 1, path)


class PmicSensor:
    """``pmic_power_w``: the rails that the power management chip of a Raspberry Pi 5 feeds.

    The chip does not see what draws from the 5 V directly (USB, HATs, fan), nor its own losses.
    """

    quantities = ("pmic_power_w",)
    interval_s = INTERVAL_S
    _NOTE = "estimate: without the consumers at 5 V (USB, HATs, fan) and the losses of the converters"
    _SOURCE = "vcgencmd pmic_read_adc"
    #: Only this family has the chip.
    _CHIP = "brcm,bcm2712"
    #: Both shapes that firmware prints: aligned, first all currents and then all voltages with numbers that
    #: run through, and pair by pair (see tests/context/boards for the sources).
    _LINE = re.compile(r"(\w+)_([AV])\s+(?:current|volt)\(\d+\)=(-?\d+(?:\.\d+)?)[AV]")
    _MOST_W = 60.0

    def __init__(self, sysroot: Sysroot, firmware: Firmware) -> None:
        """Take the tree and whom to ask."""
        self._sysroot = sysroot
        self._firmware = firmware
        self._has_chip = False

    def discover(self) -> None:
        """See whether this board has the chip."""
        self._has_chip = self._CHIP in _compatible(self._sysroot)

    def read(self) -> Mapping[str, Reading]:
        """The sum over all rails of which current and voltage are known."""
        return {"pmic_power_w": take(self._SOURCE, self._power_w, note=self._NOTE)}

    def _power_w(self) -> float:
        if not self._has_chip:
            raise SensorError("only the power management chip of a Raspberry Pi 5 measures its rails")
        rails: dict[str, dict[str, float]] = {}
        for name, unit, number in self._LINE.findall(self._firmware.ask("pmic_read_adc")):
            rails.setdefault(name, {})[unit] = float(number)
        pairs = [(rail["A"], rail["V"]) for rail in rails.values() if len(rail) == 2]  # noqa: PLR2004 - A and V
        if not pairs:
            raise SensorError(f"{self._SOURCE} gives no rail with current and voltage")
        if min(min(pair) for pair in pairs) < 0:
            raise SensorError(f"{self._SOURCE} gives a negative current or voltage")
        return within(sum(amperes * volts for amperes, volts in pairs), 0.0, self._MOST_W, self._SOURCE)


def _compatible(sysroot: Sysroot) -> str:
    """What the device tree calls the board, strings that end in a NUL; empty where there is none."""
    try:
        return sysroot.text(_COMPATIBLE)
    except SensorError:
        return ""
