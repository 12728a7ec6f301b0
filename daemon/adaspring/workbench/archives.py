"""Readers of ``.npz`` archives and of the binary form of CIFAR."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from adaspring.errors import DataError
from adaspring.features import RawSpec
from adaspring.workbench.sources import ArraysReader, CifarBinaryReader, JpegReader, WavesReader

Part: TypeAlias = Literal["train", "test"]
Arrays: TypeAlias = Mapping[str, npt.NDArray[Any]]

#: Pixels of one plane of a CIFAR image, and its side.
CIFAR_SIDE = 32


@dataclass(frozen=True, slots=True)
class Labelled:
    """What a reader found.

    Attributes:
        x: Raw windows, or inputs of the network, shape ``(n, ...)``.
        y: Labels, shape ``(n,)``.
        classes: Names of the classes; empty where the data has none.
        group: Whom each row is of; None where that is not told.
        recording: Which recording it was cut from, or None.
        start: Its first sample there, or None.
    """

    x: npt.NDArray[Any]
    y: npt.NDArray[np.int64]
    classes: tuple[str, ...]
    group: npt.NDArray[Any] | None = None
    recording: npt.NDArray[Any] | None = None
    start: npt.NDArray[Any] | None = None


def read_arrays(path: Path, part: Part, how: ArraysReader) -> Labelled:
    """Read ``x`` and ``y`` as they are."""
    with _opened(path) as arrays:
        optional = [
            None if name is None else _array(path, arrays, f"{name}_{part}")
            for name in (how.group, how.recording, how.start)
        ]
        return Labelled(
            _array(path, arrays, f"x_{part}"), _labels(path, arrays, f"y_{part}"), _classes(arrays), *optional
        )


def read_jpeg(path: Path, part: Part, how: JpegReader, raw: RawSpec) -> Labelled:
    """Decode the images of an archive of JPEG files.

    Raises:
        DataError: If an image does not decode or has another size; the message names its row.
    """
    with _opened(path) as arrays:
        content, offset = _array(path, arrays, f"{part}_jpeg"), _array(path, arrays, f"{part}_offset")
        y = _labels(path, arrays, f"{part}_y")
        group = _group(path, arrays, part, None if how.group is None else f"{part}_{how.group}")
        classes = _classes(arrays)
    images = np.empty((len(offset) - 1, *raw.shape), dtype=np.uint8)
    for row, (first, last) in enumerate(pairwise(offset.tolist())):
        image = decode_image(f"{path}: {part}_jpeg row {row}", content[first:last].tobytes())
        if image.shape != raw.shape:
            raise DataError(
                f"{path}: {part}_jpeg row {row} has {image.shape[0]} x {image.shape[1]} pixels; "
                f"the recipe's [preprocessing] says {raw.shape[0]} x {raw.shape[1]}"
            )
        images[row] = image
    return Labelled(images, y, classes, group)


def read_waves(path: Path, part: Part, how: WavesReader, raw: RawSpec) -> Labelled:
    """Read clips of sound, centred in windows.

    Raises:
        DataError: If their rate is not that of the preprocessing.
    """
    with _opened(path) as arrays:
        wave, rate = _array(path, arrays, f"wave_{part}"), float(_array(path, arrays, how.rate))
        y = _labels(path, arrays, f"y_{part}")
        group = _group(path, arrays, part, None if how.group is None else f"{how.group}_{part}")
        offset = None if wave.ndim > 1 else _array(path, arrays, f"offset_{part}")
        classes = _classes(arrays)
    if rate != raw.rate_hz:
        raise DataError(f"{path}: sound has {rate:g} samples a second; the recipe's [preprocessing] says {raw.rate_hz}")
    if wave.dtype != np.int16:
        raise DataError(f"{path}: wave_{part} must be int16; it is {wave.dtype}")
    clips = list(wave) if offset is None else np.split(wave, offset[1:-1])
    return Labelled(np.stack([centred(clip, raw.shape[0]) for clip in clips]), y, classes, group)


def read_cifar_binary(path: Path, part: Part, how: CifarBinaryReader) -> Labelled:
    """Read records of label bytes and planes of pixels.

    Raises:
        DataError: If a file is missing or does not hold whole records.
    """
    size = how.label_bytes + 3 * CIFAR_SIDE**2
    images, labels = [], []
    for name in how.train if part == "train" else how.test:
        content = _read(path / name)
        if not len(content) or len(content) % size:
            raise DataError(f"{path / name} does not hold whole records of {size} bytes: set label_bytes")
        records = np.frombuffer(content, dtype=np.uint8).reshape(-1, size)
        labels.append(records[:, how.label_bytes - 1].astype(np.int64))
        planes = records[:, how.label_bytes :].reshape(-1, 3, CIFAR_SIDE, CIFAR_SIDE)
        images.append(planes.transpose(0, 2, 3, 1))
    classes = tuple(_read(path / how.names).decode().split())
    return Labelled(np.concatenate(images), np.concatenate(labels), classes)


def decode_image(name: str, content: bytes) -> npt.NDArray[np.uint8]:
    """Decode an image of any form that Pillow knows, shape ``(height, width, 3)``.

    Raises:
        DataError: If it does not decode; the message names it.
    """
    try:
        with Image.open(io.BytesIO(content)) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
        raise DataError(f"{name} does not decode: {error}") from error


def centred(clip: npt.NDArray[np.int16], samples: int) -> npt.NDArray[np.int16]:
    """A clip in the middle of a window: its middle where it is longer, between silence where it is shorter."""
    if len(clip) >= samples:
        first = (len(clip) - samples) // 2
        return clip[first : first + samples]
    before = (samples - len(clip)) // 2
    return np.pad(clip, (before, samples - len(clip) - before))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error


@contextmanager
def _opened(path: Path) -> Iterator[Arrays]:
    try:
        arrays = np.load(path, allow_pickle=False)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    with arrays:
        yield arrays


def _array(path: Path, arrays: Arrays, name: str) -> npt.NDArray[Any]:
    try:
        return arrays[name]
    except KeyError:
        raise DataError(f"{path} has no array {name!r}") from None


def _group(path: Path, arrays: Arrays, part: Part, name: str | None) -> npt.NDArray[Any] | None:
    """Whom each row is of; nobody asks that of the test split, where it may be left out."""
    if name is None or (part == "test" and name not in arrays):
        return None
    return _array(path, arrays, name)


def _labels(path: Path, arrays: Arrays, name: str) -> npt.NDArray[np.int64]:
    labels: npt.NDArray[np.int64] = _array(path, arrays, name).astype(np.int64)
    return labels


def _classes(arrays: Arrays) -> tuple[str, ...]:
    return tuple(str(name) for name in arrays["class_names"]) if "class_names" in arrays else ()
