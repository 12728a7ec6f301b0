"""Parameters of a scenario, fitted to traces of real devices.

What is fitted is meant to be printed and pasted into a scenario: the traces stay where
they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from adaspring.errors import DataError

Array = npt.NDArray[np.float64]

_HOUR_S = 3600.0
#: Two rows further apart than this belong to different runs, in seconds.
_BATTERY_GAP_S = 300.0
_THERMAL_GAP_S = 10.0
#: Width of a window of the battery trace, in rows: long enough for the gauge to move.
_WINDOW = 10
#: Shortest run of the temperature trace that tells about its dynamics, in rows.
_LEAST_ROWS = 50
#: Even grid that a run is brought to, in seconds, and the lags on it that are looked at: from
#: 5 s, where the steps of the sensor are forgotten, to 40 s.
_GRID_S = 2.5
_LAGS = np.arange(2, 17)
#: Correlation below which a lag tells nothing.
_LEAST_CORRELATION = 0.1
#: Percentiles that stand for an idle and for a busy processor.
_IDLE_PERCENTILE, _BUSY_PERCENTILE = 5.0, 99.5

_ARRAYS = ("phone_time", "phone_percent", "phone_charge_uah", "phone_load", "pi_time", "pi_cpu_temp_c")


@dataclass(frozen=True, slots=True)
class BatteryFit:
    """How a battery drains and charges.

    Attributes:
        capacity_mah: Charge of the full battery.
        idle_percent_per_h: Drain without load.
        load_percent_per_h: What one busy core adds to it.
        charge_percent_per_h: Gain while plugged.
    """

    capacity_mah: float
    idle_percent_per_h: float
    load_percent_per_h: float
    charge_percent_per_h: float


@dataclass(frozen=True, slots=True)
class ThermalFit:
    """How a processor heats up.

    Attributes:
        idle_rise_c: Warmer than the ambient when idle.
        load_rise_c: What being busy adds to it.
        time_constant_s: After this time 63 % of a change has arrived.
    """

    idle_rise_c: float
    load_rise_c: float
    time_constant_s: float


def fit_battery(time_s: Array, percent: Array, charge_uah: Array, load: Array) -> BatteryFit:
    """Fit a battery to its trace.

    Drain over load is a line, fitted by the median of pairwise slopes (Theil and Sen) over
    windows of ten rows, because a gauge that corrects itself jumps.

    Args:
        time_s: Time of each row, ascending; a gap of five minutes splits runs.
        percent: Charge, in percent.
        charge_uah: Charge, in microampere-hours.
        load: Busy cores (load average over one minute); NaN where unknown.

    Raises:
        DataError: If there is no charging, or too little draining at known load.
    """
    full_uah = 100 * float(np.polyfit(percent, charge_uah, 1)[0])
    loads: list[float] = []
    rates: list[float] = []
    for first, last in _runs(time_s, _BATTERY_GAP_S):
        for begin in range(first, last - _WINDOW, _WINDOW):
            end = begin + _WINDOW
            hours = (time_s[end] - time_s[begin]) / _HOUR_S
            rates.append(100 * float(charge_uah[end] - charge_uah[begin]) / full_uah / hours)
            loads.append(float(load[begin:end].mean()))
    load_of, rate_of = np.array(loads), np.array(rates)
    charging = rate_of > 0
    draining = (rate_of < 0) & np.isfinite(load_of)
    if not charging.any() or draining.sum() < 2 or np.ptp(load_of[draining]) == 0:  # noqa: PLR2004 - a line
        raise DataError("a battery is fitted to windows that charge, and to some that drain at different loads")
    slope, intercept = _theil_sen(load_of[draining], -rate_of[draining])
    return BatteryFit(full_uah / 1e3, intercept, slope, float(np.median(rate_of[charging])))


def fit_temperature(time_s: Array, temperature_c: Array, *, ambient_c: float = 23.0) -> ThermalFit:
    """Fit a processor of first order to its temperature alone; its load was not recorded.

    The 5th and the 99.5th percentile stand for idle and busy. A first-order system that is
    driven at random forgets by ``exp(-lag / T)``, so the slope of the logarithm of the
    autocorrelation within runs gives the time constant.

    Args:
        time_s: Time of each row, ascending; a gap of ten seconds splits runs.
        temperature_c: Temperature of the processor.
        ambient_c: Of the room; an assumption, because it was not recorded either.

    Raises:
        DataError: If no run is long enough or nothing is remembered from row to row.
    """
    products = np.zeros(len(_LAGS))
    squares = np.zeros(len(_LAGS))
    for first, last in _runs(time_s, _THERMAL_GAP_S):
        if last - first < _LEAST_ROWS:
            continue
        grid_s = np.arange(time_s[first], time_s[last - 1], _GRID_S)
        deviation = np.interp(grid_s, time_s[first:last], temperature_c[first:last])
        deviation -= deviation.mean()
        for index, lag in enumerate(_LAGS.tolist()):
            products[index] += deviation[:-lag] @ deviation[lag:]
            squares[index] += deviation[:-lag] @ deviation[:-lag]
    if not squares.all():
        raise DataError(f"the temperature trace has no run of {_LEAST_ROWS} rows in which anything changes")
    correlation = products / squares
    known = correlation > _LEAST_CORRELATION
    slope = float(np.polyfit(_GRID_S * _LAGS[known], np.log(correlation[known]), 1)[0]) if known.sum() > 1 else 0.0
    if slope >= 0:
        raise DataError("the temperature trace remembers nothing from row to row, so it has no time constant")
    idle_c, busy_c = np.percentile(temperature_c, [_IDLE_PERCENTILE, _BUSY_PERCENTILE])
    return ThermalFit(float(idle_c - ambient_c), float(busy_c - idle_c), -1 / slope)


def fit_scenario(path: Path) -> None:
    """Print the battery and thermal parameters fitted to a file of traces, as TOML.

    Args:
        path: An ``.npz`` with ``phone_time`` (s), ``phone_percent``, ``phone_charge_uah``,
            ``phone_load`` (n x 3, the first column counts), ``pi_time`` (s) and
            ``pi_cpu_temp_c``.

    Raises:
        DataError: If the file cannot be read, lacks an array or cannot be fitted.
    """
    traces = _load(path)
    battery = fit_battery(
        traces["phone_time"], traces["phone_percent"], traces["phone_charge_uah"], traces["phone_load"][:, 0]
    )
    thermal = fit_temperature(traces["pi_time"], traces["pi_cpu_temp_c"])
    print("[battery]")
    print(f"capacity_mah = {battery.capacity_mah:.0f}")
    print(f"idle_percent_per_h = {battery.idle_percent_per_h:.1f}")
    print(f"load_percent_per_h = {battery.load_percent_per_h:.1f}")
    print(f"charge_percent_per_h = {battery.charge_percent_per_h:.1f}")
    print()
    print("[thermal]")
    print(f"idle_rise_c = {thermal.idle_rise_c:.1f}")
    print(f"load_rise_c = {thermal.load_rise_c:.1f}")
    print(f"time_constant_s = {thermal.time_constant_s:.0f}")


def _load(path: Path) -> dict[str, Array]:
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            return {name: file[name].astype(np.float64) for name in _ARRAYS}
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file of traces") from None
    except KeyError as error:
        raise DataError(f"{path}: {error.args[0]}; a file of traces holds {', '.join(_ARRAYS)}") from None
    except (OSError, ValueError, BadZipFile) as error:
        raise DataError(f"{path}: this is no file of traces: {error}") from error


def _runs(time_s: Array, gap_s: float) -> list[tuple[int, int]]:
    """Stretches of rows without a gap, as ``(first, behind the last)``."""
    cuts = (np.flatnonzero(np.diff(time_s) > gap_s) + 1).tolist()
    return list(zip([0, *cuts], [*cuts, len(time_s)], strict=True))


def _theil_sen(x: Array, y: Array) -> tuple[float, float]:
    """Slope and intercept of a line that outliers do not bend."""
    first, second = np.triu_indices(len(x), 1)
    distinct = x[first] != x[second]
    slopes = (y[second] - y[first])[distinct] / (x[second] - x[first])[distinct]
    slope = float(np.median(slopes))
    return slope, float(np.median(y - slope * x))
