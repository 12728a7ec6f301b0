"""Windows of sensor data with labels, split by volunteer."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from adaspring.errors import DataError
from adaspring.workbench.recipe import Recipe

#: Environment variable that names the data folder where ``--data`` is not given.
DATA_VARIABLE = "ADASPRING_DATA"

Split = Literal["train", "validation", "test"]


@dataclass(frozen=True, slots=True)
class Rows:
    """Labelled windows in raw units.

    Attributes:
        x: Shape ``(n, channels, length)``, float32.
        y: Labels, shape ``(n,)``, int64.
        volunteer: Who wore the sensor, shape ``(n,)``.
        recording: Which recording a window was cut from, shape ``(n,)``.
        start: Its first sample in the recording, shape ``(n,)``.
    """

    x: npt.NDArray[np.float32]
    y: npt.NDArray[np.int64]
    volunteer: npt.NDArray[np.int64]
    recording: npt.NDArray[np.int64]
    start: npt.NDArray[np.int64]

    def __len__(self) -> int:
        """Number of windows."""
        return len(self.y)

    def take(self, rows: npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> Rows:
        """Some of the windows, by index or mask."""
        return Rows(self.x[rows], self.y[rows], self.volunteer[rows], self.recording[rows], self.start[rows])

    def thinned(self, count: int) -> Rows:
        """At most ``count`` windows, spread evenly over all volunteers and classes."""
        order = np.lexsort((self.start, self.recording, self.y, self.volunteer))
        return self.take(np.sort(order[np.linspace(0, len(self) - 1, min(count, len(self))).astype(np.intp)]))


def find_data(recipe: Recipe, folder: Path | None) -> Path:
    """The data file of a recipe.

    Args:
        recipe: Names the file.
        folder: Where to look; None asks the environment.

    Raises:
        DataError: If it is not there; the message says where to get it and under what licence.
    """
    named = os.environ.get(DATA_VARIABLE)
    folder = folder or (Path(named) if named else None)
    advice = f"Get it from {recipe.data.source}. Licence: {recipe.data.licence}"
    if folder is None:
        raise DataError(
            f"no data folder: give --data DIR or set {DATA_VARIABLE} to one with {recipe.data.file}. {advice}"
        )
    path = folder / recipe.data.file
    if not path.is_file():
        raise DataError(f"{path} is not there. {advice}")
    return path


def load_labels(path: Path) -> tuple[str, ...]:
    """Names of the classes."""
    with _opened(path) as arrays:
        return tuple(str(name) for name in _array(path, arrays, "class_names"))


def load_rows(path: Path, recipe: Recipe, split: Split) -> Rows:
    """The windows of one split.

    Raises:
        DataError: If an array is missing, has a wrong shape, or a row holds a NaN or an
            unknown label; the message names the row.
    """
    part = "test" if split == "test" else "train"
    with _opened(path) as arrays:
        x = _array(path, arrays, f"x_{part}")
        facts = [
            _array(path, arrays, f"{name}_{part}").astype(np.int64) for name in ("y", "subject", "experiment", "start")
        ]
    expected = (*recipe.space.input_size, recipe.space.input_channels)
    if x.shape[1:] != expected or any(fact.shape != x.shape[:1] for fact in facts):
        raise DataError(
            f"{path}: x_{part} has shape {x.shape}; the recipe needs (rows, {', '.join(map(str, expected))})"
        )
    _refuse_bad_rows(path, part, x, facts[0], recipe.space.outputs)
    rows = Rows(np.ascontiguousarray(x.transpose(0, 2, 1), dtype=np.float32), *facts)
    if split == "test":
        return rows
    held = np.isin(rows.volunteer, recipe.data.validation_volunteers)
    chosen = rows.take(held if split == "validation" else ~held)
    if not len(chosen):
        raise DataError(
            f"{path}: no window of the {split} split; validation_volunteers must name some volunteers, not all"
        )
    return chosen


def channel_scale(rows: Rows) -> npt.NDArray[np.float32]:
    """One over the root mean square of each channel, shape ``(channels,)``.

    The mean stays: with a factor alone, zero padding means zero before and after.
    """
    power = np.square(rows.x.astype(np.float64)).mean(axis=(0, 2))
    scale: npt.NDArray[np.float32] = (1.0 / np.sqrt(np.maximum(power, 1e-12))).astype(np.float32)
    return scale


def _refuse_bad_rows(
    path: Path, part: str, x: npt.NDArray[np.floating], y: npt.NDArray[np.int64], classes: int
) -> None:
    broken = np.flatnonzero(~np.isfinite(x).all(axis=(1, 2)))
    if len(broken):
        raise DataError(f"{path}: x_{part} row {broken[0]} holds a value that is not a finite number")
    unknown = np.flatnonzero((y < 0) | (y >= classes))
    if len(unknown):
        raise DataError(f"{path}: y_{part} row {unknown[0]} is {y[unknown[0]]}; labels run from 0 to {classes - 1}")


@contextmanager
def _opened(path: Path) -> Iterator[Mapping[str, npt.NDArray[Any]]]:
    try:
        arrays = np.load(path, allow_pickle=False)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    with arrays:
        yield arrays


def _array(path: Path, arrays: Mapping[str, npt.NDArray[Any]], name: str) -> npt.NDArray[Any]:
    try:
        return arrays[name]
    except KeyError:
        raise DataError(f"{path} has no array {name!r}") from None
