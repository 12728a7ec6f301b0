"""Power of the whole board from the rails that chips of the INA family measure.

Jetson boards carry an INA3221 with three rails, or two of them. NVIDIA's kernel 4.9 (JetPack 4)
shows it as an iio device (driver ina3221x: ``rail_name_N``, ``in_powerN_input`` in milliwatts),
later kernels as hwmon (Documentation/hwmon/ina3221.rst: ``inN_label``, ``inN_input``,
``currN_input``; the channels from 4 on repeat the first three as shunt voltages). Uninterruptible
supplies and meters for other boards carry one INA219, INA226 or the like
(Documentation/hwmon/ina2xx.rst: ``power1_input``, ``curr1_input``, ``in1_input``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from adaspring.context.hwmon import HWMON, chips
from adaspring.context.model import Reading
from adaspring.context.sysroot import Sysroot, gather, take, within
from adaspring.errors import SensorError

_IIO = "/sys/bus/iio/devices"
_CHANNELS = (1, 2, 3)
#: Rails that feed everything else: their power is that of the board (docs.nvidia.com/jetson,
#: Developer Guide, "Software-Based Power Consumption Modeling"; forums.developer.nvidia.com/t/73608).
_INPUTS = ("VDD_IN", "POM_5V_IN")
#: Rails that hang on another one, so that a sum must not count them again (the same guide, of
#: Jetson AGX Orin; forums.developer.nvidia.com/t/223111).
_CONTAINED = {"VDDQ_VDD2_1V8AO": "VIN_SYS_5V0"}
#: Labels of channels that measure nothing, and of the sum of shunt voltages.
_NO_RAIL = ("", "NC", "sum of shunt voltages")
#: A current that small may be noise of either sign: three steps of an INA3221 at 5 milliohms.
_NOISE_MA = 25.0
_MOST_MA = 50_000.0
_MOST_MV = 60_000.0
#: No board that this is for draws more, in watts.
_MOST_W = 200.0

_METERS = ("ina219", "ina220", "ina226", "ina228", "ina230", "ina231", "ina237", "ina238", "ina260")


@dataclass(frozen=True, slots=True)
class _Rail:
    label: str
    chip: str
    power_w: Callable[[], float]


class RailSensor:
    """``rails_power_w``: what a Jetson draws, from its input rail, else from the sum of all rails."""

    quantities = ("rails_power_w",)
    interval_s = 0.0

    def __init__(self, sysroot: Sysroot) -> None:
        """Take the tree to read in."""
        self._sysroot = sysroot
        self._rails: list[_Rail] = []
        self._reason = "not looked for yet"

    def discover(self) -> None:
        """List the rails that make up the total."""
        found, reasons = gather(
            [(chip, channel) for chip in chips(self._sysroot, ("ina3221",)) for channel in _CHANNELS], self._hwmon_rail
        )
        if not found:
            iio = chips(self._sysroot, ("ina3221x",), _IIO, "iio:device*")
            found, reasons = gather([(chip, channel - 1) for chip in iio for channel in _CHANNELS], self._iio_rail)
        rails = {rail.label: rail for rail in found if rail.label not in _NO_RAIL}
        total = [rails[label] for label in _INPUTS if label in rails][:1]
        self._rails = total or [rail for label, rail in rails.items() if _CONTAINED.get(label) not in rails]
        self._reason = reasons or "there is no INA3221"

    def read(self) -> Mapping[str, Reading]:
        """The total; a sum of which one part is missing would be too little, so it is absent."""
        source = " + ".join(rail.label for rail in self._rails)
        chip = self._rails[0].chip if self._rails else HWMON
        return {"rails_power_w": take(f"{chip} ({source})" if source else HWMON, self._total_w)}

    def _total_w(self) -> float:
        if not self._rails:
            raise SensorError(self._reason)
        return within(sum(rail.power_w() for rail in self._rails), 0.0, _MOST_W, self._rails[0].chip)

    def _hwmon_rail(self, place: tuple[str, int]) -> _Rail:
        chip, channel = place
        voltage, current = f"{chip}/in{channel}_input", f"{chip}/curr{channel}_input"
        return self._rail(chip, f"in{channel}_label", current, lambda: product_w(self._sysroot, voltage, current))

    def _iio_rail(self, place: tuple[str, int]) -> _Rail:
        chip, channel = place
        power = f"{chip}/in_power{channel}_input"
        return self._rail(chip, f"rail_name_{channel}", power, lambda: self._milliwatts(power))

    def _rail(self, chip: str, label: str, measured: str, power_w: Callable[[], float]) -> _Rail:
        try:
            return _Rail(self._sysroot.text(f"{chip}/{label}"), chip, power_w)
        except SensorError as error:
            if not self._sysroot.exists(measured):
                raise
            reason = f"{error}, so nobody can tell what that rail adds to the total"

        def unknown_w() -> float:
            raise SensorError(reason)

        return _Rail(label, chip, unknown_w)

    def _milliwatts(self, path: str) -> float:
        return within(self._sysroot.number(path) * 1e-3, 0.0, _MOST_W, path)


class MeterSensor:
    """``meter_power_w``: what flows through the one meter that a person added to the board.

    Which way its shunt was soldered in is not known, and on an uninterruptible supply the same
    chip sees the battery charge: the reading is the magnitude, and marked an estimate.
    """

    quantities = ("meter_power_w",)
    interval_s = 0.0
    _NOTE = "estimate: the magnitude of what flows through the shunt, whichever way"

    def __init__(self, sysroot: Sysroot) -> None:
        """Take the tree to read in."""
        self._sysroot = sysroot
        self._meters: list[str] = []

    def discover(self) -> None:
        """List the meters."""
        self._meters = chips(self._sysroot, _METERS)

    def read(self) -> Mapping[str, Reading]:
        """The power, if there is exactly one meter."""
        source = self._meters[0] if self._meters else HWMON
        return {"meter_power_w": take(source, self._power_w, note=self._NOTE)}

    def _power_w(self) -> float:
        if len(self._meters) != 1:
            kinds = f"there are {len(self._meters)}, and nothing says what each measures" if self._meters else "none"
            raise SensorError(f"{HWMON} has no single power meter of the INA family: {kinds}")
        meter = self._meters[0]
        try:
            return within(self._sysroot.number(f"{meter}/power1_input") * 1e-6, 0.0, _MOST_W, f"{meter}/power1_input")
        except SensorError:
            return abs(product_w(self._sysroot, f"{meter}/in1_input", f"{meter}/curr1_input", signed=True))


def product_w(sysroot: Sysroot, voltage: str, current: str, *, signed: bool = False) -> float:
    """Power from a voltage in millivolts and a current in milliamperes.

    Args:
        sysroot: The tree.
        voltage: Path of the voltage.
        current: Path of the current.
        signed: Whether the current may flow either way.

    Raises:
        SensorError: If one cannot be read, or cannot be.
    """
    millivolts = within(sysroot.number(voltage), 0.0, _MOST_MV, voltage)
    least_ma = -_MOST_MA if signed else -_NOISE_MA
    milliamperes = within(sysroot.number(current), least_ma, _MOST_MA, current)
    return millivolts * (milliamperes if signed else max(milliamperes, 0.0)) * 1e-6
