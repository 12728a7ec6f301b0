from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from adaspring.context.sysroot import Sysroot, gather, take, within
from adaspring.errors import SensorError

Spoil = Callable[[Path, str], None]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("vanished", "is not there"),
        ("folder", "cannot be read"),
        ("fifo", "is empty"),
        ("silent fifo", "has no value at the moment"),
        ("", "is empty"),
        ("\n", "is empty"),
        ("cold\n", "holds 'cold', not a number"),
        ("\xff\x00\xfe\n", "not a number"),
        ("1.5\n", "not a number"),
    ],
)
def test_what_is_not_a_number_is_an_error_with_the_path(tmp_path: Path, spoil: Spoil, fault: str, reason: str) -> None:
    """Each fault of a file says what is wrong and where, and none is waited for."""
    spoil(tmp_path / "temp", fault)
    with pytest.raises(SensorError, match=reason) as caught:
        Sysroot(tmp_path).number("/temp")
    assert str(caught.value).startswith("/temp ")


def test_endless_digits_are_cut(tmp_path: Path) -> None:
    """A number without end is read as one that no quantity can have, and its range refuses it."""
    (tmp_path / "temp").write_text("9" * 5000)
    assert Sysroot(tmp_path).number("/temp") > 1e19


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_of_another_user_is_an_error(tmp_path: Path) -> None:
    """Permission denied is told as such."""
    (tmp_path / "temp").write_text("1\n")
    (tmp_path / "temp").chmod(0)
    with pytest.raises(SensorError, match="may not be read by this user"):
        Sysroot(tmp_path).text("/temp")


@pytest.mark.parametrize(
    ("text", "base", "expected"), [("42000\n", 10, 42000), ("-7\n", 10, -7), ("50005\n", 16, 0x50005)]
)
def test_numbers_are_read_as_sysfs_writes_them(tmp_path: Path, text: str, base: int, expected: int) -> None:
    """A sign, a line feed and another base are understood."""
    (tmp_path / "value").write_text(text)
    assert expected == Sysroot(tmp_path).number("/value", base)


def test_the_root_itself_can_be_the_tree() -> None:
    """With ``/`` paths are those of this device."""
    assert "MemTotal" in Sysroot(Path("/")).text("/proc/meminfo")


def test_entries_are_sorted_filtered_and_empty_without_a_folder(tmp_path: Path) -> None:
    """Only names that fit are listed; a folder that is not there lists nothing."""
    for name in ("zone1", "zone0", "cooling0"):
        (tmp_path / name).mkdir()
    assert ["/zone0", "/zone1"] == Sysroot(tmp_path).entries("", "zone*")
    assert [] == Sysroot(tmp_path).entries("/none")


@pytest.mark.parametrize("value", [-41.0, 151.0, float("nan"), float("inf")])
def test_values_that_cannot_be_are_refused(value: float) -> None:
    """What lies outside of the range is an error that names the range."""
    with pytest.raises(SensorError, match="valid is -40 to 150"):
        within(value, -40, 150, "zone")


def test_a_failure_becomes_a_reason() -> None:
    """`take` never raises for a sensor: it says why there is no value."""

    def fail() -> float:
        raise SensorError("it is broken")

    assert (None, "it is broken") == (take("zone", fail).value, take("zone", fail).reason)
    assert (1.0, "") == (take("zone", lambda: 1.0).value, take("zone", lambda: 1.0).reason)


def test_dead_devices_do_not_hide_the_others(tmp_path: Path) -> None:
    """`gather` gives what can be read, and the reasons of the rest."""
    (tmp_path / "alive").write_text("5\n")
    values, reasons = gather(["/dead", "/alive"], Sysroot(tmp_path).number)
    assert ([5], "/dead is not there") == (values, reasons)
