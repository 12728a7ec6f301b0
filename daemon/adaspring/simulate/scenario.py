"""A day in the life of a device, as a small TOML file."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import msgspec

from adaspring.errors import ConfigError
from adaspring.toml_file import nearest, read_toml

DEFAULT_SCENARIO = "summer-day"
HOURS_OF_A_DAY = 24.0
_FOLDER = Path(__file__).resolve().parent / "scenarios"


class Period(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Part of the day, in hours since midnight.

    Attributes:
        from_h: Begin.
        to_h: End.
    """

    from_h: float
    to_h: float

    def __post_init__(self) -> None:
        """Refuse a period that ends before it begins.

        Raises:
            ValueError: With both ends.
        """
        if not 0 <= self.from_h < self.to_h <= HOURS_OF_A_DAY:
            raise ValueError(f"0 <= from_h < to_h <= 24 must hold; they are {self.from_h} and {self.to_h}")


class BatteryModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A battery that drains with load and charges at a constant rate.

    Attributes:
        capacity_mah: Charge when full, in mAh.
        start_percent: Charge at the begin of the day.
        idle_percent_per_h: Drain without load.
        load_percent_per_h: What a load of 1 adds to it.
        charge_percent_per_h: Gain while plugged, whatever the load.
        empty_v: Voltage when empty.
        full_v: Voltage when full; in between it is linear.
        plugged: When the supply is connected.
    """

    capacity_mah: float
    start_percent: float
    idle_percent_per_h: float
    load_percent_per_h: float
    charge_percent_per_h: float
    empty_v: float
    full_v: float
    plugged: tuple[Period, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a battery that cannot be.

        Raises:
            ValueError: Says what must hold.
        """
        rates = (self.idle_percent_per_h, self.load_percent_per_h, self.charge_percent_per_h)
        if self.capacity_mah <= 0 or min(rates) < 0 or not 0 < self.empty_v < self.full_v:
            raise ValueError("capacity must be positive, no rate negative, and empty_v below full_v")
        if not 0 <= self.start_percent <= 100:  # noqa: PLR2004 - percent
            raise ValueError(f"start_percent must lie in 0..100; it is {self.start_percent}")


class ThermalModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A processor that follows load and ambient temperature with one time constant, and throttles.

    Attributes:
        idle_rise_c: Warmer than the ambient without load, in kelvins.
        load_rise_c: What a load of 1 adds to it in the long run, in kelvins.
        time_constant_s: After this time 63 % of a change has arrived, in seconds.
        throttle_c: The kernel lowers the clock from here on, in degrees Celsius.
        release_c: It gives the clock back from here down, in degrees Celsius.
        clock_mhz: Greatest clock.
        throttled_mhz: Clock while throttled.
        ambient: Points ``(hour, degrees Celsius)``, linear in between.
    """

    idle_rise_c: float
    load_rise_c: float
    time_constant_s: float
    throttle_c: float
    release_c: float
    clock_mhz: float
    throttled_mhz: float
    ambient: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        """Refuse a processor that cannot be.

        Raises:
            ValueError: Says what must hold.
        """
        if min(self.idle_rise_c, self.load_rise_c) < 0 or self.time_constant_s <= 0:
            raise ValueError("no rise may be negative, and time_constant_s must be positive")
        if not self.release_c < self.throttle_c or not 0 < self.throttled_mhz < self.clock_mhz:
            raise ValueError("release_c must lie below throttle_c, and throttled_mhz below clock_mhz")
        if any(celsius >= self.throttle_c for _, celsius in self.ambient):
            raise ValueError("ambient must stay below throttle_c: air alone would throttle the processor")
        hours = [hour for hour, _ in self.ambient]
        if not hours or any(later <= earlier for earlier, later in pairwise(hours)):
            raise ValueError("ambient needs at least one point, and hours that grow")


class MemoryShortage(Period, frozen=True, forbid_unknown_fields=True):
    """A period in which something else takes memory.

    Attributes:
        available_mib: What is left.
        pressure_percent: Share of the time in which some task waits for memory.
    """

    available_mib: float
    pressure_percent: float


class MemoryModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Memory over the day.

    Attributes:
        total_mib: Memory of the device.
        available_mib: What can usually be had.
        ramp_h: How long a shortage takes to come and to go, in hours.
        short: The shortages.
    """

    total_mib: float
    available_mib: float
    ramp_h: float = 0.1
    short: tuple[MemoryShortage, ...] = ()

    def __post_init__(self) -> None:
        """Refuse more than there is.

        Raises:
            ValueError: Says what must hold.
        """
        available = [self.available_mib, *(shortage.available_mib for shortage in self.short)]
        if not 0 <= min(available) <= max(available) <= self.total_mib or self.ramp_h <= 0:
            raise ValueError("available_mib must lie in 0..total_mib, and ramp_h must be positive")


class Activity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What goes on from an hour of the day until the next activity.

    Attributes:
        from_h: Begin, in hours since midnight.
        name: For people.
        events_hz: Frames that a client should stream, per second of real time.
        load: Cores kept busy.
    """

    from_h: float
    name: str
    events_hz: float
    load: float


class PowerModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the whole device draws.

    Attributes:
        idle_w: Without load.
        load_w: What each busy core adds.
    """

    idle_w: float
    load_w: float

    def __post_init__(self) -> None:
        """Refuse a device that gives power away.

        Raises:
            ValueError: Says what must hold.
        """
        if min(self.idle_w, self.load_w) < 0:
            raise ValueError("neither idle_w nor load_w may be negative")

    def at(self, load: float) -> float:
        """Power at a load in cores, in watts."""
        return self.idle_w + self.load_w * load


class Gap(Period, frozen=True, forbid_unknown_fields=True):
    """A period in which sensors are gone.

    Attributes:
        files: Pattern of the paths that vanish, for example ``"/sys/class/power_supply/*"``.
    """

    files: str


class Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A day.

    Attributes:
        title: One line for people.
        seed: Of the fluctuations.
        span: The part of the day that is played.
        cores: Cores of the device.
        battery: Its battery.
        thermal: Its processor.
        memory: Its memory.
        activity: What goes on; the first begins with the span.
        power: What it draws; without one, what the battery gives.
        dips: When its supply is too low.
        vanish: When some of its sensors are gone.
    """

    title: str
    seed: int
    span: Period
    cores: int
    battery: BatteryModel
    thermal: ThermalModel
    memory: MemoryModel
    activity: tuple[Activity, ...]
    power: PowerModel | None = None
    dips: tuple[Period, ...] = ()
    vanish: tuple[Gap, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a day with a hole in it.

        Raises:
            ValueError: Says what must hold.
        """
        hours = [activity.from_h for activity in self.activity]
        if not hours or hours[0] != self.span.from_h or any(later <= earlier for earlier, later in pairwise(hours)):
            raise ValueError("the first activity must begin with the span, and the hours must grow")
        if any(activity.events_hz < 0 or not 0 <= activity.load <= self.cores for activity in self.activity):
            raise ValueError("events_hz must not be negative, and load must lie in 0..cores")


def scenarios() -> tuple[str, ...]:
    """Names of the scenarios that ship with AdaSpring."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.toml")))


def load_scenario(name_or_path: str | Path = DEFAULT_SCENARIO) -> Scenario:
    """Read and validate a scenario.

    Args:
        name_or_path: Name of one that ships with AdaSpring, or the path of a file; what
            holds a separator or ends in ``.toml`` is a path.

    Raises:
        ConfigError: If there is none of that name, or the file has a mistake; the message
            names file and key.
    """
    text = os.fspath(name_or_path)
    if text.endswith(".toml") or os.sep in text:
        return _read(Path(text))
    known = scenarios()
    if text not in known:
        raise ConfigError(f"there is no scenario {text!r}: {nearest(text, known)}")
    return _read(_FOLDER / f"{text}.toml")


def _read(path: Path) -> Scenario:
    content = read_toml(path, ConfigError)
    try:
        return msgspec.convert(content, Scenario)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {error}") from error
