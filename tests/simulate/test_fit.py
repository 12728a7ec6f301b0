from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from adaspring.errors import DataError
from adaspring.simulate import fit_battery, fit_scenario, fit_temperature
from adaspring.simulate.fit import Array

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def battery_trace(seed: int = 0) -> tuple[Array, Array, Array, Array]:
    """Minutes of a 2,000 mAh battery: a drain of 6 + 10 x load percent per hour, a gap, then a charge of 25."""
    rng = np.random.default_rng(seed)
    load = np.repeat(rng.uniform(0, 2, 30), 10)
    # The load of a minute drains it until the next row.
    drained = 90 - np.concatenate([[0], np.cumsum((6 + 10 * load) / 60)[:-1]])
    charged = 20 + np.arange(60) * 25 / 60
    percent = np.concatenate([drained, charged])
    time_s = np.concatenate([np.arange(300) * 60.0, 1e5 + np.arange(60) * 60.0])
    return time_s, percent, percent * 20_000, np.concatenate([load, np.full(60, np.nan)])


def temperature_trace(constant_s: float, seed: int = 0) -> tuple[Array, Array]:
    """A first-order processor at 50 degrees, driven at random, looked at every 2 s, rounded as by its sensor."""
    rng = np.random.default_rng(seed)
    keep = np.exp(-2.0 / constant_s)
    deviation = np.zeros(10_000)
    for row in range(1, len(deviation)):
        deviation[row] = keep * deviation[row - 1] + rng.normal(0, 2 * np.sqrt(1 - keep**2))
    return np.linspace(0, 19_998, 10_000), np.round((50 + deviation) / 0.5) * 0.5


def test_a_battery_is_found_again() -> None:
    """The parameters of a made-up battery come back."""
    fit = fit_battery(*battery_trace())
    assert pytest.approx(2000) == fit.capacity_mah
    assert pytest.approx(6, abs=0.3) == fit.idle_percent_per_h
    assert pytest.approx(10, abs=0.5) == fit.load_percent_per_h
    assert pytest.approx(25, abs=0.1) == fit.charge_percent_per_h


def test_a_gauge_that_corrects_itself_does_not_bend_the_fit() -> None:
    """One jump of five percent moves the drain by little."""
    time_s, percent, charge, load = battery_trace()
    charge[155:300] -= 5 * 20_000
    fit = fit_battery(time_s, percent, charge, load)
    assert pytest.approx(6, abs=1) == fit.idle_percent_per_h
    assert pytest.approx(10, abs=1) == fit.load_percent_per_h


def test_a_battery_that_never_charges_cannot_be_fitted() -> None:
    """What the trace does not show is not made up."""
    rows = slice(0, 300)
    with pytest.raises(DataError, match="windows that charge"):
        fit_battery(*(array[rows] for array in battery_trace()))


@pytest.mark.parametrize("constant_s", [15.0, 40.0])
def test_a_time_constant_is_found_again(constant_s: float) -> None:
    """The memory of a processor comes back through its sensor's steps; so do idle and busy temperatures."""
    fit = fit_temperature(*temperature_trace(constant_s), ambient_c=20.0)
    assert pytest.approx(constant_s, rel=0.3) == fit.time_constant_s
    assert pytest.approx(50 - 1.645 * 2 - 20, abs=1) == fit.idle_rise_c
    assert pytest.approx((1.645 + 2.576) * 2, abs=1) == fit.load_rise_c


def test_noise_has_no_time_constant() -> None:
    """A trace without memory, or one too short, is refused."""
    noise = np.random.default_rng(0).normal(50, 1, 500)
    with pytest.raises(DataError, match="remembers nothing"):
        fit_temperature(np.linspace(0, 998, 500), noise)
    with pytest.raises(DataError, match="no run of"):
        fit_temperature(np.linspace(0, 38, 20), noise[:20])


def test_what_is_printed_can_be_pasted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command prints TOML with the keys of a scenario."""
    path = tmp_path / "traces.npz"
    time_s, percent, charge, load = battery_trace()
    pi_time, pi_temp = temperature_trace(20.0)
    loads = np.stack([load] * 3, axis=1)
    np.savez(
        path, phone_time=time_s, phone_percent=percent, phone_charge_uah=charge, phone_load=loads,
        pi_time=pi_time, pi_cpu_temp_c=pi_temp,
    )  # fmt: skip
    fit_scenario(path)
    fitted = tomllib.loads(capsys.readouterr().out)
    assert fitted["battery"]["capacity_mah"] == 2000
    assert {"idle_rise_c", "load_rise_c", "time_constant_s"} == set(fitted["thermal"])


def test_a_file_that_holds_no_traces_is_refused(tmp_path: Path) -> None:
    """A missing file, another kind of file and a missing array are each told apart."""
    with pytest.raises(DataError, match="no such file"):
        fit_scenario(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(DataError, match="no file of traces"):
        fit_scenario(tmp_path / "text.npz")
    (tmp_path / "zip.npz").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(DataError, match="no file of traces"):
        fit_scenario(tmp_path / "zip.npz")
    np.savez(tmp_path / "half.npz", phone_time=np.zeros(3))
    with pytest.raises(DataError, match="phone_percent"):
        fit_scenario(tmp_path / "half.npz")
