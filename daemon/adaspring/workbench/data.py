"""Labelled rows: windows of sensor data, sound or images, split into train, validation and test."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from adaspring.errors import DataError, RecipeError
from adaspring.features import Pipeline, build_pipeline
from adaspring.workbench.archives import Labelled, Part, read_arrays, read_cifar_binary, read_jpeg, read_waves
from adaspring.workbench.folders import read_image_folder, read_wav_folder
from adaspring.workbench.recipe import Recipe
from adaspring.workbench.sources import (
    ArraysReader,
    CifarBinaryReader,
    ImageFolderReader,
    JpegReader,
    WavesReader,
    WavFolderReader,
)

#: Environment variable that names the data folder where ``--data`` is not given.
DATA_VARIABLE = "ADASPRING_DATA"

#: Rows from which the scale of a channel is measured; more would not change its digits.
SCALE_ROWS = 4096

Split = Literal["train", "validation", "test"]


@dataclass(frozen=True, slots=True)
class Rows:
    """Labelled rows.

    Attributes:
        x: Inputs of the network, ``(n, channels, *size)``, float32; where there is a pipeline, its raw windows.
        y: Labels, shape ``(n,)``, int64.
        group: Whom each row is of, shape ``(n,)``.
        recording: Which recording a window was cut from, shape ``(n,)``.
        start: Its first sample in the recording, shape ``(n,)``.
        pipeline: Makes inputs of raw windows, as serving does; None where x holds inputs.
    """

    x: npt.NDArray[Any]
    y: npt.NDArray[np.int64]
    group: npt.NDArray[Any]
    recording: npt.NDArray[np.int64]
    start: npt.NDArray[np.int64]
    pipeline: Pipeline | None = None

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.y)

    def inputs(self) -> npt.NDArray[np.float32]:
        """Inputs of the network, not yet scaled, shape ``(n, channels, *size)``."""
        return prepared(self.x, self.pipeline)

    def take(self, rows: npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> Rows:
        """Some of the rows, by index or mask."""
        return Rows(self.x[rows], self.y[rows], self.group[rows], self.recording[rows], self.start[rows], self.pipeline)

    def thinned(self, count: int) -> Rows:
        """At most ``count`` rows, spread evenly over all groups and classes."""
        order = np.lexsort((self.start, self.recording, self.y, self.group))
        return self.take(np.sort(order[np.linspace(0, len(self) - 1, min(count, len(self))).astype(np.intp)]))


def prepared(x: npt.NDArray[Any], pipeline: Pipeline | None) -> npt.NDArray[np.float32]:
    """Inputs of the network of some raw windows, or x itself where there is no pipeline."""
    if pipeline is None:
        return x
    inputs = np.empty((len(x), *pipeline.shape), dtype=np.float32)
    for row, raw in enumerate(x):
        inputs[row] = pipeline.window(raw)
    return inputs


def find_data(recipe: Recipe, folder: Path | None) -> Path:
    """The data file or folder of a recipe.

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
    if not path.exists():
        raise DataError(f"{path} is not there. {advice}")
    return path


def load_labels(path: Path, recipe: Recipe) -> tuple[str, ...]:
    """Names of the classes.

    Raises:
        DataError: If data and recipe both lack them, or their number is not that of the outputs.
    """
    classes = recipe.data.classes or _read(path, recipe, "test").classes
    if len(classes) != recipe.space.outputs:
        raise DataError(
            f"{path}: {len(classes)} classes are named, {recipe.space.outputs} are the outputs of the recipe's "
            f"[space]: set outputs, or list them in [data] classes"
        )
    return classes


def load_rows(path: Path, recipe: Recipe, split: Split) -> Rows:
    """The rows of one split.

    Raises:
        DataError: If something is missing, has a wrong shape, does not decode, holds a NaN or an
            unknown label; the message names the row.
        RecipeError: If what is held out would be nothing or everything.
    """
    part: Part = "test" if split == "test" else "train"
    found = _read(path, recipe, part)
    _refuse_bad_rows(path, part, found, recipe.space.outputs)
    rows = _rows(path, part, recipe, found)
    if split == "test":
        return rows
    held = _held_out(rows, recipe)
    if held.all() or not held.any():
        raise RecipeError(
            f"[data.validation] holds out {'all' if held.all() else 'none'} of the {len(rows)} training rows: "
            f"name some groups ({', '.join(map(str, np.unique(rows.group)[:5].tolist()))}, ...) or a share"
        )
    return rows.take(held if split == "validation" else ~held)


def channel_scale(rows: Rows) -> npt.NDArray[np.float32]:
    """One over the root mean square of each channel, shape ``(channels,)``.

    The mean stays: with a factor alone, zero padding means zero before and after.
    """
    x = rows.thinned(SCALE_ROWS).inputs()
    power = np.square(x, dtype=np.float64).mean(axis=(0, *range(2, x.ndim)))
    scale: npt.NDArray[np.float32] = (1.0 / np.sqrt(np.maximum(power, 1e-12))).astype(np.float32)
    return scale


def _read(path: Path, recipe: Recipe, part: Part) -> Labelled:
    reader = recipe.data.reader
    if isinstance(reader, ArraysReader):
        return read_arrays(path, part, reader)
    if isinstance(reader, CifarBinaryReader):
        return read_cifar_binary(path, part, reader)
    if recipe.preprocessing is None:
        raise RecipeError("the recipe reads raw sound or images: say in [preprocessing] what the network gets of them")
    raw = build_pipeline(recipe.preprocessing).raw
    if isinstance(reader, JpegReader):
        return read_jpeg(path, part, reader, raw)
    if isinstance(reader, WavesReader):
        return read_waves(path, part, reader, raw)
    if isinstance(reader, ImageFolderReader):
        return read_image_folder(path, part, reader, raw)
    if isinstance(reader, WavFolderReader):
        return read_wav_folder(path, part, reader, raw)
    raise AssertionError(reader)


def _rows(path: Path, part: Part, recipe: Recipe, found: Labelled) -> Rows:
    """What a reader found, as the network needs it."""
    reader, space = recipe.data.reader, recipe.space
    ready = isinstance(reader, ArraysReader) and reader.prepared
    pipeline = None if ready or recipe.preprocessing is None else build_pipeline(recipe.preprocessing)
    shape = (space.input_channels, *space.input_size)
    if pipeline is None:
        given, expected = found.x.shape[1:], (*shape[1:], shape[0])
    else:
        given, expected = found.x.shape[1:], pipeline.raw.shape
        if pipeline.shape != shape:
            raise RecipeError(
                f"[preprocessing] puts out {list(pipeline.shape)}; [space] takes {list(shape)}: make them agree"
            )
    if given != expected:
        raise DataError(f"{path}: {part} rows have shape {list(given)}; the recipe needs {list(expected)}")
    x = found.x if pipeline else np.ascontiguousarray(np.moveaxis(found.x, -1, 1), dtype=np.float32)
    count = len(found.y)
    facts = {"group": found.group, "recording": found.recording, "start": found.start}
    for name, fact in facts.items():
        if fact is not None and fact.shape != (count,):
            raise DataError(f"{path}: {name} of the {part} rows has shape {list(fact.shape)}; there are {count} rows")
    return Rows(
        x=x,
        y=found.y,
        group=np.zeros(count, dtype=np.int64) if found.group is None else _plain(found.group),
        # A row of no recording is a recording by itself.
        recording=np.arange(count) if found.recording is None else found.recording.astype(np.int64),
        start=np.zeros(count, dtype=np.int64) if found.start is None else found.start.astype(np.int64),
        pipeline=pipeline,
    )


def _plain(group: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return group if group.dtype.kind == "U" else group.astype(np.int64)


def _held_out(rows: Rows, recipe: Recipe) -> npt.NDArray[np.bool_]:
    """Which training rows are held out for validation."""
    how = recipe.data.validation
    if how.groups:
        unknown = [group for group in how.groups if group not in rows.group.tolist()]
        if unknown:
            raise RecipeError(f"[data.validation] groups: the training rows have no group {unknown[0]!r}")
        return np.isin(rows.group, how.groups)
    held = np.zeros(len(rows), dtype=bool)
    rng = np.random.default_rng(recipe.training.seed)
    groups = np.unique(rows.group, return_inverse=True)[1]
    for key in np.unique(np.stack([groups, rows.y], axis=1), axis=0):
        members = np.flatnonzero((groups == key[0]) & (rows.y == key[1]))
        held[rng.permutation(members)[: round(how.share * len(members))]] = True
    return held


def _refuse_bad_rows(path: Path, part: Part, found: Labelled, classes: int) -> None:
    if found.x.shape[:1] != found.y.shape or not len(found.y):
        raise DataError(f"{path}: {len(found.x)} {part} rows have {len(found.y)} labels")
    if found.x.dtype.kind == "f":
        broken = np.flatnonzero(~np.isfinite(found.x).reshape(len(found.x), -1).all(axis=1))
        if len(broken):
            raise DataError(f"{path}: {part} row {broken[0]} holds a value that is not a finite number")
    unknown = np.flatnonzero((found.y < 0) | (found.y >= classes))
    if len(unknown):
        raise DataError(
            f"{path}: the label of {part} row {unknown[0]} is {found.y[unknown[0]]}; labels run from 0 to {classes - 1}"
        )
