import io
import wave
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from adaspring.errors import DataError, RecipeError
from adaspring.features import ImageSpec, LogMelSpec, Preprocessing
from adaspring.space import SlotSpec, SpaceSpec
from adaspring.workbench.data import load_labels, load_rows
from adaspring.workbench.recipe import Recipe
from adaspring.workbench.sources import (
    CifarBinaryReader,
    ImageFolderReader,
    JpegReader,
    Reader,
    ValidationSection,
    WavesReader,
    WavFolderReader,
)

SOUND = LogMelSpec(rate_hz=8000.0, samples=400, frame=128, hop=64, bands=8, low_hz=100.0, high_hz=4000.0)
PICTURE = ImageSpec(height=8, width=12, mean=(100.0, 100.0, 100.0))


def _recipe(
    recipe: Recipe, file: str, reader: Reader, preprocessing: Preprocessing | None, size: tuple[int, ...]
) -> Recipe:
    data = msgspec.structs.replace(recipe.data, file=file, reader=reader, validation=ValidationSection(share=0.25))
    channels = 8 if isinstance(preprocessing, LogMelSpec) else 3
    space = SpaceSpec(input_channels=channels, input_size=size, outputs=2, slots=(SlotSpec(width=8),))
    return msgspec.structs.replace(recipe, data=data, space=space, preprocessing=preprocessing)


def _jpeg(colour: tuple[int, int, int], size: tuple[int, int] = (12, 8)) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", size, colour).save(content, "JPEG", quality=95)
    return content.getvalue()


def _save_jpegs(path: Path, files: list[bytes]) -> None:
    offset = np.cumsum([0, *map(len, files)]).astype(np.uint32)
    y = (np.arange(len(files)) % 2).astype(np.uint8)
    arrays = {f"{part}_{key}": value for part in ("train", "test") for key, value in _fields(files, offset, y).items()}
    np.savez(path, class_names=np.array(["red", "blue"]), **arrays)  # type: ignore[arg-type]  # as above


def _fields(
    files: list[bytes], offset: npt.NDArray[np.uint32], y: npt.NDArray[np.uint8]
) -> dict[str, npt.NDArray[np.generic]]:
    return {"jpeg": np.frombuffer(b"".join(files), dtype=np.uint8), "offset": offset, "y": y, "driver": y + np.uint8(7)}


def test_an_archive_of_jpeg_files_becomes_centred_images(tmp_path: Path, recipe: Recipe) -> None:
    """Red and blue come out in their planes, in order, less the mean; drivers become groups."""
    _save_jpegs(tmp_path / "p.npz", [_jpeg((200, 0, 0)), _jpeg((0, 0, 200))] * 4)
    pictures = _recipe(recipe, "p.npz", JpegReader(group="driver"), PICTURE, (8, 12))
    rows = load_rows(tmp_path / "p.npz", pictures, "test")
    assert (8, 8, 12, 3) == rows.x.shape
    x = rows.inputs()
    assert (8, 3, 8, 12) == x.shape
    np.testing.assert_allclose(np.array([100, -100, -100]), x[0].mean(axis=(1, 2)), atol=4)
    np.testing.assert_allclose(np.array([-100, -100, 100]), x[1].mean(axis=(1, 2)), atol=4)
    assert [7, 8] * 4 == rows.group.tolist()
    assert ("red", "blue") == load_labels(tmp_path / "p.npz", pictures)


def test_a_broken_image_or_one_of_another_size_is_named(tmp_path: Path, recipe: Recipe) -> None:
    """With its row."""
    pictures = _recipe(recipe, "p.npz", JpegReader(), PICTURE, (8, 12))
    _save_jpegs(tmp_path / "p.npz", [_jpeg((1, 1, 1)), b"no image", _jpeg((1, 1, 1))])
    with pytest.raises(DataError, match="train_jpeg row 1 does not decode"):
        load_rows(tmp_path / "p.npz", pictures, "train")
    _save_jpegs(tmp_path / "p.npz", [_jpeg((1, 1, 1)), _jpeg((1, 1, 1))[:200]])
    with pytest.raises(DataError, match="train_jpeg row 1 does not decode"):
        load_rows(tmp_path / "p.npz", pictures, "train")
    _save_jpegs(tmp_path / "p.npz", [_jpeg((1, 1, 1), size=(9, 9))])
    with pytest.raises(
        DataError, match=r"train_jpeg row 0 has 9 x 9 pixels; the recipe's \[preprocessing\] says 8 x 12"
    ):
        load_rows(tmp_path / "p.npz", pictures, "train")


def test_clips_in_a_row_are_centred_in_windows(tmp_path: Path, recipe: Recipe) -> None:
    """A short clip stands between silence, a long one is cut at both ends."""
    clips = [np.full(100, 5, dtype=np.int16), np.arange(600, dtype=np.int16)]
    arrays = {
        f"{name}_{part}": value
        for part in ("train", "test")
        for name, value in {
            "wave": np.concatenate(clips),
            "offset": np.array([0, 100, 700]),
            "y": np.array([0, 1]),
            "speaker": np.array(["a", "b"]),
        }.items()
    }
    np.savez(tmp_path / "w.npz", rate=np.int32(8000), **arrays)  # type: ignore[arg-type]  # as above
    spoken = _recipe(recipe, "w.npz", WavesReader(rate="rate", group="speaker"), SOUND, (5,))
    rows = load_rows(tmp_path / "w.npz", spoken, "test")
    assert (100, 150) == (int(np.count_nonzero(rows.x[0])), int(np.flatnonzero(rows.x[0])[0]))
    np.testing.assert_array_equal(np.arange(100, 500), rows.x[1])
    assert (2, 8, 5) == rows.inputs().shape
    assert ["a", "b"] == rows.group.tolist()
    with pytest.raises(DataError, match=r"0 classes are named, 2 are the outputs of the recipe's \[space\]"):
        load_labels(tmp_path / "w.npz", spoken)
    faster = msgspec.structs.replace(spoken, preprocessing=msgspec.structs.replace(SOUND, rate_hz=16000.0))
    with pytest.raises(DataError, match="sound has 8000 samples a second"):
        load_rows(tmp_path / "w.npz", faster, "test")


def _write_wav(path: Path, samples: npt.NDArray[np.int16], rate_hz: int = 8000, channels: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(samples.tobytes())


def test_a_folder_of_wav_files_by_class(tmp_path: Path, recipe: Recipe) -> None:
    """Stereo is mixed down; classes come in alphabetical order; another rate is refused with the file."""
    for part in ("train", "test"):
        for name, level in (("dog", 10), ("cat", 20)):
            for index in range(4):
                _write_wav(
                    tmp_path / "w" / part / name / f"{index}.wav", np.full(800, level, dtype=np.int16), channels=2
                )
    heard = _recipe(recipe, "w", WavFolderReader(), SOUND, (5,))
    rows = load_rows(tmp_path / "w", heard, "train")
    assert {0: 20, 1: 10} == dict(zip(rows.y.tolist(), rows.x.max(axis=1).tolist(), strict=True))
    assert (6, 2) == (len(rows), len(load_rows(tmp_path / "w", heard, "validation")))
    assert ("cat", "dog") == load_labels(tmp_path / "w", heard)
    _write_wav(tmp_path / "w" / "train" / "cat" / "x.wav", np.zeros(80, dtype=np.int16), rate_hz=44100)
    with pytest.raises(
        DataError, match=r"x\.wav has 16 bits and 44100 samples a second; it must have 16 bits and 8000"
    ):
        load_rows(tmp_path / "w", heard, "train")


def test_a_folder_of_images_by_class(tmp_path: Path, recipe: Recipe) -> None:
    """Images of any size are resized; a class that one split lacks, or that is empty, is named."""
    for part in ("train", "val"):
        for name, colour in (("a", (200, 0, 0)), ("b", (0, 0, 200))):
            folder = tmp_path / "i" / part / name
            folder.mkdir(parents=True)
            for index in range(4):
                (folder / f"{index}.jpg").write_bytes(_jpeg(colour, size=(30, 20)))
    seen = _recipe(recipe, "i", ImageFolderReader(), PICTURE, (8, 12))
    rows = load_rows(tmp_path / "i", seen, "test")
    assert (8, 8, 12, 3) == rows.x.shape
    np.testing.assert_allclose(np.array([200, 0, 0]), rows.x[0].mean(axis=(0, 1)), atol=4)
    (tmp_path / "i" / "train" / "a" / "0.jpg").write_bytes(b"broken")
    with pytest.raises(DataError, match=r"0\.jpg does not decode"):
        load_rows(tmp_path / "i", seen, "train")
    (tmp_path / "i" / "val" / "c").mkdir()
    with pytest.raises(DataError, match="they differ in 'c'"):
        load_rows(tmp_path / "i", seen, "test")
    (tmp_path / "i" / "train" / "c").mkdir()
    with pytest.raises(DataError, match="holds no file that ends in"):
        load_rows(tmp_path / "i", seen, "test")


def test_the_binary_form_of_cifar(tmp_path: Path, recipe: Recipe) -> None:
    """Two label bytes, of which the second counts, then planes of pixels."""
    folder = tmp_path / "c"
    folder.mkdir()
    planes = np.zeros((8, 3, 32, 32), dtype=np.uint8)
    planes[:, 2] = 90
    labels = np.stack([np.full(8, 9), np.arange(8) % 2], axis=1).astype(np.uint8)
    records = np.concatenate([labels, planes.reshape(8, -1)], axis=1)
    for name in ("train.bin", "test.bin"):
        (folder / name).write_bytes(records.tobytes())
    (folder / "names.txt").write_text("apple\nbear\n", encoding="utf-8")
    reader = CifarBinaryReader(train=("train.bin",), test=("test.bin",), names="names.txt", label_bytes=2)
    small = ImageSpec(height=32, width=32, mean=(0.0, 0.0, 0.0))
    cifar = _recipe(recipe, "c", reader, small, (32, 32))
    rows = load_rows(folder, cifar, "test")
    assert [0, 1] * 4 == rows.y.tolist()
    assert [0, 0, 90] == rows.x[0, 0, 0].tolist()
    assert ("apple", "bear") == load_labels(folder, cifar)
    (folder / "test.bin").write_bytes(b"short")
    with pytest.raises(DataError, match=r"does not hold whole records of 3074 bytes: set label_bytes"):
        load_rows(folder, cifar, "test")


def test_preprocessing_and_space_must_agree(tmp_path: Path, recipe: Recipe) -> None:
    """And raw data needs one."""
    _save_jpegs(tmp_path / "p.npz", [_jpeg((200, 0, 0)), _jpeg((0, 0, 200))])
    with pytest.raises(RecipeError, match=r"\[preprocessing\] puts out \[3, 8, 12\]; \[space\] takes \[3, 9, 9\]"):
        load_rows(tmp_path / "p.npz", _recipe(recipe, "p.npz", JpegReader(), PICTURE, (9, 9)), "test")
    with pytest.raises(RecipeError, match=r"say in \[preprocessing\] what the network gets"):
        load_rows(tmp_path / "p.npz", _recipe(recipe, "p.npz", JpegReader(), None, (8, 12)), "test")


def test_what_is_held_out_must_be_some_and_known(data_path: Path, recipe: Recipe) -> None:
    """A group that is not there, no group, and all groups are refused."""
    for how, said in (
        (ValidationSection(groups=(9,)), "the training rows have no group 9"),
        (ValidationSection(), "holds out none of the 216 training rows"),
        (ValidationSection(groups=(1, 2, 3)), "holds out all of the 216 training rows"),
    ):
        changed = msgspec.structs.replace(recipe, data=msgspec.structs.replace(recipe.data, validation=how))
        with pytest.raises(RecipeError, match=said):
            load_rows(data_path, changed, "train")
