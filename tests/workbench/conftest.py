"""A recipe and data small enough to train on within a test."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from adaspring.workbench.recipe import Recipe, load_recipe

RECIPE = """
name = "tiny"
version = "1"
title = "Three ways to shake a box"
limits = "A test."

[data]
file = "tiny.npz"
source = "the shop around the corner"
licence = "Only for boxes."
attribution = "Somebody, Boxes, 2020."
rows = "windows"
groups = "volunteers"
reader = { kind = "arrays", group = "subject", recording = "experiment", start = "start" }
validation = { groups = [3] }

[input]
name = "x"
description = "32 samples of a box"
rate_hz = 10.0
channels = ["a x (g)", "a y (g)", "a z (g)"]

[space]
input_channels = 3
input_size = [32]
outputs = 3
precisions = ["float32", "int8"]
slots = [
    { width = 16, stride = 2, operators = ["conv", "dwsep", "lowrank"], ratios = [1.0, 0.5] },
    { width = 16, operators = ["conv", "dwsep", "lowrank"], ratios = [1.0, 0.5], skippable = true },
    { width = 16, stride = 2, operators = ["conv", "dwsep"], ratios = [1.0, 0.5] },
]

[training]
seed = 1
backbone = { epochs = 2, learning_rate = 1e-2 }
ensemble = { epochs = 4, learning_rate = 1e-2 }
settle = { epochs = 2, learning_rate = 1e-3 }
batch = 16
random_subnets = 2
subnet_rows = 8
feature_weight = 1.0
identity = 0.5
weight_decay = 0.01
label_smoothing = 0.1
average = 0.9
validate_every = 2
validate_subnets = 2

[training.augment]
kind = "inertial"
shift = true
rotation_deg = 5.0
amplitude = 0.1
noise = 0.02

[statistics]
subnets = 40
rows = 64
ridge = 0.1

[accuracy]
subnets = 40
rows = 60
"""

CLASSES = 3
LENGTH = 32
RUN = 8
RUNS = 3


@pytest.fixture
def recipe_path(tmp_path: Path) -> Path:
    """The recipe as a file."""
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE, encoding="utf-8")
    return path


@pytest.fixture
def recipe(recipe_path: Path) -> Recipe:
    """The recipe, read."""
    return load_recipe(recipe_path)


@pytest.fixture
def arrays() -> dict[str, npt.NDArray[np.generic]]:
    """Data in which classes differ by frequency, tilt and amplitude, as activities do."""
    return {
        "class_names": np.array(["SHAKE", "ROLL", "REST"]),
        **_split("train", (1, 2, 3)),
        **_split("test", (4, 5, 6, 7)),
    }


@pytest.fixture
def data_path(tmp_path: Path, arrays: dict[str, npt.NDArray[np.generic]]) -> Path:
    """The data as a file."""
    path = tmp_path / "tiny.npz"
    np.savez(path, **arrays)  # type: ignore[arg-type]  # numpy types its keywords by the wrong overload
    return path


def _split(name: str, volunteers: tuple[int, ...]) -> dict[str, npt.NDArray[np.generic]]:
    rng = np.random.default_rng(volunteers)
    windows, facts = [], []
    for volunteer in volunteers:
        for label in range(CLASSES):
            for run in range(RUNS):
                time = np.arange((RUN + 1) * LENGTH // 2)[:, None]
                tilt = np.array([label, 1.0, -label]) / 2
                wave = tilt + np.sin(time * (0.2 + 0.3 * label) + rng.uniform(0, 6, 3)) / (1 + label)
                signal = wave + rng.normal(0, 0.05, wave.shape)
                recording = run + RUNS * label
                for start in range(0, RUN * LENGTH // 2, LENGTH // 2):
                    windows.append(signal[start : start + LENGTH])
                    facts.append((label, volunteer, recording, start))
    y, subject, experiment, start_of = np.array(facts).T
    return {
        f"x_{name}": np.array(windows, dtype=np.float16),
        f"y_{name}": y.astype(np.uint8),
        f"subject_{name}": subject.astype(np.uint8),
        f"experiment_{name}": experiment.astype(np.uint8),
        f"start_{name}": start_of.astype(np.int32),
    }
