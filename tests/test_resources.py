"""Resources are found in a clone and in an installed package."""

from pathlib import Path

import pytest

from adaspring.errors import ResourceMissingError
from adaspring.resources import resource


def test_clone_uses_the_top_level_folders(clone: Path) -> None:
    """In a clone or an editable install, resources are the folders that people edit."""
    assert clone / "models" / "har" / "recipe.toml" == resource("models", "har", "recipe.toml")


def test_installed_package_uses_its_own_copy(tmp_path: Path) -> None:
    """An installed package never looks outside itself, even where a folder of the same name lies around it."""
    package = tmp_path / "lib" / "site-packages" / "adaspring"
    (package / "_data" / "models").mkdir(parents=True)
    (tmp_path / "lib" / "models").mkdir()
    assert package / "_data" / "models" == resource("models", package=package)


def test_missing_resource_names_what_is_there(tmp_path: Path) -> None:
    """The message says what was asked for, where it was looked for, and what lies there instead."""
    (tmp_path / "_data" / "models" / "har").mkdir(parents=True)
    with pytest.raises(ResourceMissingError, match=r"models/sound .*Known there: har\."):
        resource("models", "sound", package=tmp_path)


def test_missing_folder_is_no_traceback_of_its_own(tmp_path: Path) -> None:
    """A resource below a folder that is absent as a whole gets the same clear error."""
    (tmp_path / "_data").mkdir()
    with pytest.raises(ResourceMissingError, match=r"Known there: nothing\."):
        resource("models", "har", "bundle", package=tmp_path)
