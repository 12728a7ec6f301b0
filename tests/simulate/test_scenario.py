from __future__ import annotations

from pathlib import Path

import pytest

from adaspring.errors import ConfigError
from adaspring.simulate import DEFAULT_SCENARIO, load_scenario


def test_the_default_scenario_ships() -> None:
    """Without a name the day that ships is read."""
    assert load_scenario(DEFAULT_SCENARIO) == load_scenario()
    assert load_scenario().battery.capacity_mah > 0


def test_a_scenario_can_be_given_as_a_path(tmp_path: Path, short_day: str) -> None:
    """A file of one's own is read by its path."""
    path = tmp_path / "mine.toml"
    path.write_text(short_day, encoding="utf-8")
    assert load_scenario(path).title == "Two hours"


@pytest.mark.parametrize(
    ("found", "replaced", "message"),
    [
        ("to_h = 9.5, avail", "to_h = 8.5, avail", "from_h < to_h"),
        ("start_percent = 50", "start_percent = 150", "0..100"),
        ("capacity_mah = 1000", "capacity_mah = 0", "capacity must be positive"),
        ("full_v = 4.2", "full_v = 3.2", "empty_v below full_v"),
        ("release_c = 60", "release_c = 90", "release_c must lie below"),
        ("throttled_mhz = 500", "throttled_mhz = 5000", "throttled_mhz below clock_mhz"),
        ("time_constant_s = 60", "time_constant_s = 0", "time_constant_s must be positive"),
        ("[[8, 20], [9, 40]]", "[[9, 20], [8, 40]]", "hours that grow"),
        ("available_mib = 50,", "available_mib = 5000,", "0..total_mib"),
        ("events_hz = 5", "events_hz = -5", "events_hz must not be negative"),
        ("load = 1", "load = 7", "0..cores"),
        ('from_h = 8\nname = "quiet"', 'from_h = 8.5\nname = "quiet"', "begin with the span"),
        ("seed = 3", "sead = 3", "unknown field `sead`"),
        ("seed = 3", "seed = [", "not TOML"),
    ],
)
def test_a_mistake_is_named_with_its_file(
    tmp_path: Path, short_day: str, found: str, replaced: str, message: str
) -> None:
    """Whatever is wrong with a scenario, the error names the file and what must hold."""
    path = tmp_path / "mine.toml"
    path.write_text(short_day.replace(found, replaced), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_scenario(path)
    assert str(path) in str(caught.value)
    assert message in str(caught.value)


def test_an_unknown_name_is_answered_with_the_known(tmp_path: Path) -> None:
    """A misspelt name suggests the one meant, another lists all; a missing file is named."""
    with pytest.raises(ConfigError, match=r"did you mean summer-day\?"):
        load_scenario("sumer-day")
    with pytest.raises(ConfigError, match="known are driver-day, failing-sensors, hot-day, summer-day"):
        load_scenario("x")
    with pytest.raises(ConfigError, match="there is no such file"):
        load_scenario(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_scenario(f"{tmp_path}/")
