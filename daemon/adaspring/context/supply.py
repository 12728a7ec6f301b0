"""Battery, external power and power drawn, from the power_supply class of the kernel.

Format: Documentation/ABI/testing/sysfs-class-power of the kernel; currents are in
microamperes, voltages in microvolts, power in microwatts. The sign of a current differs
by driver, so the ``status`` of the battery says which way it flows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from adaspring.context.model import Reading
from adaspring.context.sysroot import Sysroot, gather, take, within
from adaspring.errors import SensorError

_FOLDER = "/sys/class/power_supply"
_BATTERIES = ("Battery", "UPS")
#: What the status of a battery says about external power.
_STATUSES = {"Charging": 1.0, "Full": 1.0, "Not charging": 1.0, "Discharging": 0.0}
#: A full battery may hold a little more than what its gauge has learned to be full.
_FULLEST_PERCENT = 110.0
#: 1 MAh or MWh, in millionths: a gauge that says more is broken.
_FULLEST = 1e12
#: No board that this is for draws more, in watts.
_MOST_W = 2000.0
#: No battery that this is for has more, in volts.
_MOST_V = 100.0


@dataclass(frozen=True, slots=True)
class _Charge:
    percent: float
    full: float | None


class SupplySensor:
    """``battery_percent``, ``external_power`` (1 or 0) and ``battery_power_w`` (while a battery feeds the board)."""

    quantities = ("battery_percent", "external_power", "battery_power_w")
    interval_s = 0.0

    def __init__(self, sysroot: Sysroot) -> None:
        """Take the tree to read in."""
        self._sysroot = sysroot
        self._batteries: list[str] = []
        self._external: list[str] = []

    def discover(self) -> None:
        """List supplies by their type, without those of peripherals (a mouse has a battery, too)."""
        self._batteries, self._external = [], []
        for path in self._sysroot.entries(_FOLDER):
            try:
                kind = self._sysroot.text(f"{path}/type")
            except SensorError:
                continue
            if self._optional(f"{path}/scope") == "Device":
                continue
            (self._batteries if kind in _BATTERIES else self._external).append(path)

    def read(self) -> Mapping[str, Reading]:
        """All three."""
        batteries = _names(self._batteries)
        return {
            "battery_percent": take(batteries, self._percent),
            "external_power": self._external_power(),
            "battery_power_w": take(batteries, self._drawn_w),
        }

    def _percent(self) -> float:
        charges, reasons = gather(self._batteries, self._charge)
        if not charges:
            raise SensorError(reasons or f"{_FOLDER} lists no battery")
        # Batteries of different size count by what they hold, where all of them say it.
        weights = [charge.full for charge in charges if charge.full is not None]
        if len(weights) != len(charges):
            weights = [1.0] * len(charges)
        return sum(w * c.percent for w, c in zip(weights, charges, strict=True)) / sum(weights)

    def _charge(self, path: str) -> _Charge:
        if self._optional(f"{path}/present") == "0":
            raise SensorError(f"{path}/present says that the battery is not in its place")
        for quantity in ("charge", "energy"):
            try:
                full = within(self._sysroot.number(f"{path}/{quantity}_full"), 1, _FULLEST, f"{path}/{quantity}_full")
                now = self._sysroot.number(f"{path}/{quantity}_now")
                percent = within(100 * now / full, 0.0, _FULLEST_PERCENT, f"{path}/{quantity}_now")
            except SensorError:
                continue
            return _Charge(min(percent, 100.0), full)
        # Whole percents: what is left where a driver does not count the charge.
        return _Charge(within(self._sysroot.number(f"{path}/capacity"), 0.0, 100.0, f"{path}/capacity"), None)

    def _external_power(self) -> Reading:
        online, reasons = gather(self._external, self._is_online)
        if online and not any(online) and not self._batteries:
            # A Jetson that its barrel jack feeds lists its empty USB port alone.
            reasons = f"{_names(self._external)} gives no power, there is no battery, and something else does"
        elif online:
            return Reading(float(any(online)), _names(self._external))
        # No supply tells; a battery that is not drained tells as well.
        for path in self._batteries:
            status = self._optional(f"{path}/status")
            if status in _STATUSES:
                return Reading(_STATUSES[status], _names([path]))
        return Reading(None, _names(self._external), reasons or f"{_FOLDER} lists no supply that tells")

    def _is_online(self, path: str) -> bool:
        # 1 is a fixed, 2 a programmable supply (USB power delivery).
        return within(self._sysroot.number(f"{path}/online"), 0, 2, f"{path}/online") > 0

    def _drawn_w(self) -> float:
        if not self._batteries:
            raise SensorError("nothing measures it: there is no battery")
        statuses = {path: self._optional(f"{path}/status") for path in self._batteries}
        discharging = [path for path, status in statuses.items() if status == "Discharging"]
        if not discharging:
            raise SensorError(
                "only the current of the battery is measured, and the battery does not feed the board now"
            )
        return sum(self._battery_w(path) for path in discharging)

    def _battery_w(self, path: str) -> float:
        try:
            watts = self._sysroot.number(f"{path}/power_now") * 1e-6
        except SensorError:
            amperes = self._sysroot.number(f"{path}/current_now") * 1e-6
            voltage = f"{path}/voltage_now"
            watts = amperes * within(self._sysroot.number(voltage) * 1e-6, 0.0, _MOST_V, voltage)
        return within(abs(watts), 0.0, _MOST_W, path)

    def _optional(self, path: str) -> str:
        """A text that not every driver offers; empty where it does not."""
        try:
            return self._sysroot.text(path)
        except SensorError:
            return ""


def _names(paths: list[str]) -> str:
    return ", ".join(path.rpartition("/")[2] for path in paths) or _FOLDER
