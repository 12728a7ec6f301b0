"""Schema of a device profile: plain values that refuse what cannot be."""

from __future__ import annotations

import math
from typing import Literal

import msgspec


class Figure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A number and why to believe it: either it has a source, or it is an assumption with a range.

    Attributes:
        value: In the unit that the key of the figure ends in; positive.
        source: Data sheet, paper or measurement that states it.
        assumption: True where nobody states it for this board.
        low: Least value that an assumption may really have.
        high: Greatest value that an assumption may really have.
        why: Why the assumption is made.
    """

    value: float
    source: str = ""
    assumption: bool = False
    low: float | None = None
    high: float | None = None
    why: str = ""

    def __post_init__(self) -> None:
        """Refuse a number without a reason.

        Raises:
            ValueError: Says what is missing.
        """
        if not (math.isfinite(self.value) and self.value > 0):
            raise ValueError(f"value must be a positive number; it is {self.value}")
        if self.assumption:
            if self.source or not self.why or self.low is None or self.high is None:
                raise ValueError("an assumption needs low, high and why, and has no source")
            if not 0 <= self.low <= self.value <= self.high < math.inf:
                raise ValueError(f"low <= value <= high must hold; they are {self.low}, {self.value}, {self.high}")
        elif not self.source or self.why or self.low is not None or self.high is not None:
            raise ValueError("name a source, or set assumption = true with low, high and why")


class Match(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How to recognise the board. Patterns are those of a shell (``*`` stands for anything).

    Attributes:
        device_tree: Patterns for the model that the device tree names.
        dmi: Patterns for vendor and product that the firmware names, with a space between.
        machines: Machine names (``uname -m``) for which this is the profile of an unknown board.
    """

    device_tree: tuple[str, ...] = ()
    dmi: tuple[str, ...] = ()
    machines: tuple[str, ...] = ()


class Processor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The cores that run the subnets.

    Attributes:
        model: Name of the chip and its cores.
        cores: Number of cores.
        clock_mhz: Greatest clock, in MHz.
    """

    model: str
    cores: Figure
    clock_mhz: Figure


class Cache(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One level of data or unified cache.

    Attributes:
        level: 1 is nearest to the core.
        size_kib: Size of one such cache, in KiB.
        shared_by: Cores that share it.
        byte_pj: Energy of one byte moved between it and a core, in picojoules; None where nothing is known.
    """

    level: int
    size_kib: Figure
    shared_by: int
    byte_pj: Figure | None = None


class Memory(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Main memory.

    Attributes:
        size_mib: Size, in MiB; the running daemon reads the real one from the kernel.
        bandwidth_gb_s: What one core can move, in 1e9 bytes per second.
    """

    size_mib: Figure
    bandwidth_gb_s: Figure


class Thermal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Temperatures of the processor, in degrees Celsius.

    Attributes:
        warm_c: From here on it pays to spend less.
        hot_c: The board begins to throttle.
        critical_c: The board throttles hard or shuts down.
    """

    warm_c: Figure
    hot_c: Figure
    critical_c: Figure

    def __post_init__(self) -> None:
        """Refuse temperatures out of order.

        Raises:
            ValueError: With the three temperatures.
        """
        temperatures = (self.warm_c.value, self.hot_c.value, self.critical_c.value)
        if not temperatures[0] < temperatures[1] < temperatures[2]:
            raise ValueError(f"warm_c < hot_c < critical_c must hold; they are {temperatures}")


class Power(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the whole board draws, in watts.

    Attributes:
        idle_w: With nothing to do.
        load_w: With one core computing.
    """

    idle_w: Figure
    load_w: Figure

    def __post_init__(self) -> None:
        """Refuse a board that draws less when it works.

        Raises:
            ValueError: With both figures.
        """
        if self.load_w.value <= self.idle_w.value:
            raise ValueError(f"load_w must exceed idle_w; they are {self.load_w.value} and {self.idle_w.value}")


class Energy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Energy coefficients, in picojoules.

    Attributes:
        mac_pj: One float32 multiply-accumulate, everything around it included.
        byte_pj: One byte moved between main memory and processor.
    """

    mac_pj: Figure
    byte_pj: Figure


class Roofline(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an estimate of latency starts from, before anything is measured.

    Attributes:
        gmac_per_s: 1e9 float32 multiply-accumulates per second of one core, sustained.
        layer_us: What each layer costs beside its arithmetic, in microseconds.
    """

    gmac_per_s: Figure
    layer_us: Figure


class Sensing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the board can be asked, so that a person hears of what is missing.

    Attributes:
        expected: Quantities that the board gives with the kernel it usually runs (``adaspring doctor``
            lists them all).
        rails: Rails of which it measures the power.
    """

    expected: tuple[str, ...] = ()
    rails: tuple[str, ...] = ()


class DeviceProfile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything known about a kind of board before a measurement on it.

    Attributes:
        name: As in file names and configuration, for example ``"raspberry-pi-5"``.
        title: For people.
        engine: Engine that suits the board.
        match: How to recognise it.
        processor: Its cores.
        caches: Its caches, nearest first.
        memory: Its main memory.
        thermal: Its temperatures.
        power: What it draws.
        energy: Energy coefficients.
        roofline: For estimates of latency.
        sensors: What it can be asked.
    """

    name: str
    title: str
    engine: Literal["onnxruntime", "torch"]
    match: Match
    processor: Processor
    caches: tuple[Cache, ...]
    memory: Memory
    thermal: Thermal
    power: Power
    energy: Energy
    roofline: Roofline
    sensors: Sensing = Sensing()
