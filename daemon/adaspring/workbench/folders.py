"""Readers of folders: one folder of files for each class."""

from __future__ import annotations

import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from adaspring.errors import DataError
from adaspring.features import RawSpec
from adaspring.features.image import resized
from adaspring.workbench.archives import Labelled, Part, centred, decode_image
from adaspring.workbench.sources import ImageFolderReader, WavFolderReader

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".ppm"})
WAV_SUFFIXES = frozenset({".wav"})

#: Bytes of one sample of the only wav files that are read.
SAMPLE_BYTES = 2


def read_image_folder(path: Path, part: Part, how: ImageFolderReader, raw: RawSpec) -> Labelled:
    """Decode a folder of images by class, each resized as serving resizes it.

    Raises:
        DataError: If there is none, a class has no file, or a file does not decode; the message names it.
    """
    names = {"train": how.train, "test": how.test}

    def read(file: Path) -> npt.NDArray[np.uint8]:
        planes = resized(decode_image(str(file), file.read_bytes()), raw.shape[:2])
        return np.clip(np.rint(planes), 0, 255).astype(np.uint8).transpose(1, 2, 0)

    return _read_classes(path, names["train"], names[part], IMAGE_SUFFIXES, read)


def read_wav_folder(path: Path, part: Part, how: WavFolderReader, raw: RawSpec) -> Labelled:
    """Read a folder of wav files by class, each centred in a window.

    Raises:
        DataError: If there is none, a class has no file, or a file is no 16-bit sound of the
            preprocessing's rate; the message names it.
    """
    names = {"train": how.train, "test": how.test}

    def read(file: Path) -> npt.NDArray[np.int16]:
        return centred(_read_wav(file, raw), raw.shape[0])

    return _read_classes(path, names["train"], names[part], WAV_SUFFIXES, read)


def _read_classes(
    path: Path, train: str, wanted: str, suffixes: frozenset[str], read: Callable[[Path], npt.NDArray[Any]]
) -> Labelled:
    """All files of a split; the classes are those of the training split, in alphabetical order."""
    classes = tuple(sorted(folder.name for folder in _entries(path / train) if folder.is_dir()))
    found = tuple(sorted(folder.name for folder in _entries(path / wanted) if folder.is_dir()))
    if classes != found or not classes:
        odd = sorted(set(classes) ^ set(found)) or ["none at all"]
        raise DataError(
            f"{path}: {train}/ and {wanted}/ must hold one folder for each class; they differ in {odd[0]!r}"
        )
    x, y = [], []
    for label, name in enumerate(classes):
        files = sorted(file for file in _entries(path / wanted / name) if file.suffix.lower() in suffixes)
        if not files:
            raise DataError(f"{path / wanted / name} holds no file that ends in {', '.join(sorted(suffixes))}")
        x += [read(file) for file in files]
        y += [label] * len(files)
    return Labelled(np.stack(x), np.array(y, dtype=np.int64), classes)


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror}") from error


def _read_wav(file: Path, raw: RawSpec) -> npt.NDArray[np.int16]:
    try:
        with wave.open(str(file)) as sound:
            channels, width, rate_hz = sound.getnchannels(), sound.getsampwidth(), sound.getframerate()
            content = sound.readframes(sound.getnframes())
    except (OSError, EOFError, wave.Error) as error:
        raise DataError(f"{file} does not decode: {error}") from error
    if width != SAMPLE_BYTES or rate_hz != raw.rate_hz:
        raise DataError(
            f"{file} has {8 * width} bits and {rate_hz} samples a second; it must have 16 bits and {raw.rate_hz}: "
            f"convert it, for example with sox"
        )
    samples = np.frombuffer(content, dtype="<i2").reshape(-1, channels)
    mono: npt.NDArray[np.int16] = np.rint(samples.mean(axis=1)).astype(np.int16)
    return mono
