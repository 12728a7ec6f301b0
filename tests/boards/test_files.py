from __future__ import annotations

from pathlib import Path

import pytest

from adaspring.boards import load_profile, load_profiles
from adaspring.errors import BoardError


def test_every_profile_that_ships_is_sound(profiles: Path) -> None:
    """All shipped profiles are read, and each is found by its name."""
    names = [profile.name for profile in load_profiles(profiles)]
    expected = [
        "generic-aarch64",
        "generic-x86_64",
        "jetson-agx-orin",
        "jetson-nano",
        "jetson-orin-nano",
        "librem5",
        "raspberry-pi-3b-plus",
        "raspberry-pi-4b",
        "raspberry-pi-5",
        "raspberry-pi-zero-2w",
    ]
    assert expected == names
    for name in names:
        assert name == load_profile(name, folder=profiles).name


def test_a_profile_can_be_given_as_a_path(toys: Path, profiles: Path) -> None:
    """A path is read wherever the folder of profiles is."""
    assert load_profile(toys / "toy.toml", folder=profiles).title == "Toy board"


def test_an_assumption_keeps_its_range(toys: Path) -> None:
    """A figure without a source carries its range and its reason."""
    warm = load_profile("toy", folder=toys).thermal.warm_c
    assert (True, 40, 60, "feels warm") == (warm.assumption, warm.low, warm.high, warm.why)


@pytest.mark.parametrize(
    ("found", "replaced", "message"),
    [
        ('idle_w = { value = 1, source = "box" }', "idle_w = { value = 1 }", "name a source"),
        ('idle_w = { value = 1, source = "box" }', 'idle_w = { value = "1", source = "box" }', "power.idle_w.value"),
        ('idle_w = { value = 1, source = "box" }', 'idle_w = { value = -1, source = "box" }', "positive"),
        (
            'idle_w = { value = 1, source = "box" }',
            'idle_w = { value = 4, source = "box" }',
            "load_w must exceed idle_w",
        ),
        ("low = 40", "low = 55", "low <= value <= high"),
        ("low = 40, ", "", "an assumption needs low, high and why"),
        ("assumption = true", 'assumption = true, source = "box"', "has no source"),
        ("value = 70", "value = 45", "warm_c < hot_c < critical_c"),
        ("[roofline]", "[roof]", "unknown field `roof`"),
        ('engine = "onnxruntime"', 'engine = "tflite"', "engine"),
        ('name = "toy"', 'name = "tin"', "name must be 'toy'"),
        ("[match]", "[match", "not TOML"),
    ],
)
def test_a_mistake_is_named_with_its_file(toys: Path, sound: str, found: str, replaced: str, message: str) -> None:
    """Whatever is wrong with a profile, the error names the file and what is wrong."""
    path = toys / "toy.toml"
    path.write_text(sound.replace(found, replaced), encoding="utf-8")
    with pytest.raises(BoardError) as caught:
        load_profile("toy", folder=toys)
    assert str(path) in str(caught.value)
    assert message in str(caught.value)


def test_an_unknown_name_suggests_the_one_meant(profiles: Path) -> None:
    """A misspelt name is answered with the nearest one, any other with all of them."""
    with pytest.raises(BoardError, match=r"did you mean raspberry-pi-5\?"):
        load_profile("raspbery-pi-5", folder=profiles)
    with pytest.raises(BoardError, match="known are generic-aarch64, "):
        load_profile("toaster", folder=profiles)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A missing file and a folder in its place are both reported by their path."""
    with pytest.raises(BoardError, match="there is no such file"):
        load_profile(tmp_path / "none.toml", folder=tmp_path)
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(BoardError, match="cannot be read"):
        load_profile(tmp_path / "folder.toml", folder=tmp_path)
