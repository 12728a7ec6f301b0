"""The profiles that ship, and one that tests may spoil."""

from __future__ import annotations

from pathlib import Path

import pytest

SOUND = """
name = "toy"
title = "Toy board"
engine = "onnxruntime"

[match]
device_tree = ["Toy Board*"]

[processor]
model = "1 x Toy"
cores = { value = 1, source = "box" }
clock_mhz = { value = 100, source = "box" }

[[caches]]
level = 1
size_kib = { value = 8, source = "box" }
shared_by = 1

[memory]
size_mib = { value = 64, source = "box" }
bandwidth_gb_s = { value = 1, source = "box" }

[thermal]
warm_c = { value = 50, assumption = true, low = 40, high = 60, why = "feels warm" }
hot_c = { value = 70, source = "box" }
critical_c = { value = 80, source = "box" }

[power]
idle_w = { value = 1, source = "box" }
load_w = { value = 3, source = "box" }

[energy]
mac_pj = { value = 10, source = "box" }
byte_pj = { value = 100, source = "box" }

[roofline]
gmac_per_s = { value = 2, source = "box" }
layer_us = { value = 5, source = "box" }
"""


@pytest.fixture(scope="session")
def profiles(clone: Path) -> Path:
    """The folder of the profiles that ship."""
    return clone / "device_profiles"


@pytest.fixture
def sound() -> str:
    """The text of a profile without a mistake; its figures make sums easy."""
    return SOUND


@pytest.fixture
def toys(tmp_path: Path, sound: str) -> Path:
    """A folder with that profile alone."""
    folder = tmp_path / "profiles"
    folder.mkdir()
    (folder / "toy.toml").write_text(sound, encoding="utf-8")
    return folder
