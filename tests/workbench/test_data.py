from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from adaspring.errors import DataError
from adaspring.workbench.data import channel_scale, find_data, load_labels, load_rows
from adaspring.workbench.recipe import Recipe

Arrays = dict[str, npt.NDArray[np.generic]]


def test_splits_share_no_volunteer(data_path: Path, recipe: Recipe) -> None:
    """Who is held out for validation or test is not trained on."""
    found = [set(load_rows(data_path, recipe, split).group.tolist()) for split in ("train", "validation", "test")]
    assert [{1, 2}, {3}, {4, 5, 6, 7}] == found


def test_windows_come_channels_first_in_raw_units(data_path: Path, recipe: Recipe, arrays: Arrays) -> None:
    """Nothing is scaled or shifted on the way from the file to the frame."""
    rows = load_rows(data_path, recipe, "test")
    assert (288, 3, 32) == rows.x.shape
    np.testing.assert_array_equal(arrays["x_test"].transpose(0, 2, 1), rows.x)
    assert ("SHAKE", "ROLL", "REST") == load_labels(data_path, recipe)


def test_the_scale_makes_every_channel_as_strong(data_path: Path, recipe: Recipe) -> None:
    """Scaled training windows have a root mean square of one in each channel."""
    rows = load_rows(data_path, recipe, "train")
    scaled = rows.x * channel_scale(rows)[:, None]
    np.testing.assert_allclose(1.0, np.sqrt(np.square(scaled).mean(axis=(0, 2))), rtol=1e-4)


def test_thinning_keeps_every_volunteer_and_class(data_path: Path, recipe: Recipe) -> None:
    """A third of the windows still holds all six pairs of volunteer and class, evenly."""
    rows = load_rows(data_path, recipe, "train").thinned(48)
    pairs, counts = np.unique(np.stack([rows.group, rows.y]), axis=1, return_counts=True)
    assert (48, 6, 8) == (len(rows), pairs.shape[1], counts.max())


def test_missing_data_says_where_to_get_it_and_on_what_terms(
    tmp_path: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person without the data learns what to do."""
    monkeypatch.delenv("ADASPRING_DATA", raising=False)
    advice = "Get it from the shop around the corner. Licence: Only for boxes."
    for folder in (None, tmp_path / "nowhere"):
        with pytest.raises(DataError, match=advice):
            find_data(recipe, folder)


def test_the_environment_names_the_data_folder(
    data_path: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without --data, ADASPRING_DATA counts."""
    monkeypatch.setenv("ADASPRING_DATA", str(data_path.parent))
    assert data_path == find_data(recipe, None)


def _with(arrays: Arrays, name: str, array: npt.NDArray[np.generic], path: Path) -> Path:
    np.savez(path, **{**arrays, name: array})  # type: ignore[arg-type]  # numpy types its keywords by the wrong overload
    return path


def test_a_row_that_holds_a_nan_is_named(tmp_path: Path, arrays: Arrays, recipe: Recipe) -> None:
    """Broken data stops at the door."""
    broken = arrays["x_train"].copy()
    broken[17, 3, 1] = np.nan
    with pytest.raises(DataError, match="train row 17 holds a value that is not a finite number"):
        load_rows(_with(arrays, "x_train", broken, tmp_path / "b.npz"), recipe, "train")


def test_a_label_without_a_class_is_named(tmp_path: Path, arrays: Arrays, recipe: Recipe) -> None:
    """Labels run from zero to the number of classes."""
    broken = arrays["y_test"].copy()
    broken[5] = 3
    with pytest.raises(DataError, match="the label of test row 5 is 3; labels run from 0 to 2"):
        load_rows(_with(arrays, "y_test", broken, tmp_path / "b.npz"), recipe, "test")


def test_windows_of_another_shape_are_refused(tmp_path: Path, arrays: Arrays, recipe: Recipe) -> None:
    """The message says what the recipe needs."""
    path = _with(arrays, "x_train", arrays["x_train"][:, :16], tmp_path / "b.npz")
    with pytest.raises(DataError, match=r"the recipe needs \[32, 3\]"):
        load_rows(path, recipe, "train")


def test_a_file_that_is_no_archive_or_lacks_an_array_is_refused(tmp_path: Path, recipe: Recipe) -> None:
    """Both are named."""
    path = tmp_path / "b.npz"
    path.write_bytes(b"no archive")
    with pytest.raises(DataError, match="cannot be read"):
        load_rows(path, recipe, "train")
    np.savez(path, x_train=np.zeros(3))
    with pytest.raises(DataError, match="has no array 'subject_train'"):
        load_rows(path, recipe, "train")
