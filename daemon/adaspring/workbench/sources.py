"""Where labelled rows come from, as a recipe declares it under ``[data]``."""

from __future__ import annotations

from typing import TypeAlias

import msgspec


class ArraysReader(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="arrays"):
    """An ``.npz`` with ``x_train``, ``y_train`` and the same for test.

    Attributes:
        prepared: Whether ``x`` holds inputs of the network, ``(n, *size, channels)``, rather than raw
            windows for the recipe's preprocessing, ``(n, *raw shape)``.
        group: Prefix of the array that says whom a row is of, for example ``"subject"``.
        recording: Prefix of the array that says which recording a window was cut from.
        start: Prefix of the array that says where in it.
    """

    prepared: bool = True
    group: str | None = None
    recording: str | None = None
    start: str | None = None


class JpegReader(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="jpeg"):
    """An ``.npz`` of JPEG files, one after another, in ``train_jpeg``, with ``train_offset`` and ``train_y``.

    Attributes:
        group: Suffix of the array that says whom a row is of, for example ``"driver"``.
    """

    group: str | None = None


class WavesReader(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="waves"):
    """An ``.npz`` of 16-bit sound: ``wave_train`` with one clip a row, or all clips in a row and ``offset_train``.

    A clip of another length than a raw window is centred in it.

    Attributes:
        rate: Name of the scalar that holds the sample rate.
        group: Prefix of the array that says whom a row is of, for example ``"speaker"``.
    """

    rate: str
    group: str | None = None


class ImageFolderReader(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="image_folder"):
    """A folder of images for each class, below one folder for each split; images are resized.

    Attributes:
        train: Name of the folder of training images.
        test: Name of the folder of test images.
    """

    train: str = "train"
    test: str = "val"


class WavFolderReader(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="wav_folder"):
    """A folder of 16-bit wav files for each class, below one folder for each split; clips are centred in a window.

    Attributes:
        train: Name of the folder of training clips.
        test: Name of the folder of test clips.
    """

    train: str = "train"
    test: str = "test"


class CifarBinaryReader(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="cifar_binary"):
    """A folder in the binary form of CIFAR: records of label bytes and 3072 pixels, planes first.

    Attributes:
        train: Names of the files of training records.
        test: Names of the files of test records.
        names: Name of the file that lists the classes, one a line.
        label_bytes: Bytes before the pixels; the last of them is the label (2 in CIFAR-100).
    """

    train: tuple[str, ...]
    test: tuple[str, ...]
    names: str
    label_bytes: int = 1


Reader: TypeAlias = ArraysReader | JpegReader | WavesReader | ImageFolderReader | WavFolderReader | CifarBinaryReader


class ValidationSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Training rows that are held out; every choice is made on them.

    Attributes:
        groups: Whose rows: volunteers, drivers, folds, speakers. What is judged is then how
            well the network does on people or places that it has never seen.
        share: Or the share of the rows of each class and group.
    """

    groups: tuple[int | str, ...] = ()
    share: float = 0.0


class DataSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which data, whose, and which of it is held out.

    Attributes:
        file: Name of the file or folder inside the data folder.
        source: Where a person gets it.
        licence: Under what terms; printed where the data is missing, and on the card.
        attribution: What whoever publishes results must cite.
        reader: What form it has.
        validation: What is held out.
        rows: What to call rows on the card, for example "windows".
        groups: What to call groups, for example "volunteers".
        classes: Names of the classes, where the data has none.
    """

    file: str
    source: str
    licence: str
    attribution: str
    reader: Reader
    validation: ValidationSection
    rows: str = "rows"
    groups: str = "groups"
    classes: tuple[str, ...] = ()
