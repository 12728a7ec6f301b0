from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from adaspring.bundle import Bundle, load_bundle, write_bundle
from adaspring.errors import BundleCorruptError, BundleError, BundleMissingError, BundleVersionError
from adaspring.space import SearchSpace, SpaceSpec
from adaspring.tables import SlotTable

FILES = ("weights.safetensors", "tables.npz", "card.md")


@pytest.fixture
def folder(make_bundle: Callable[[SpaceSpec, Path], Bundle], small_spec: SpaceSpec, tmp_path: Path) -> Path:
    """A bundle on disk that a test may spoil."""
    make_bundle(small_spec, tmp_path / "toy")
    return tmp_path / "toy"


def change_manifest(folder: Path, **changes: object) -> None:
    """Rewrite keys of the manifest."""
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | changes))


def test_what_was_written_is_read(folder: Path, small_bundle: Bundle) -> None:
    """A bundle comes back as it was written, and its digest is that of its content."""
    bundle = load_bundle(folder)
    assert small_bundle.manifest == bundle.manifest
    assert small_bundle.digest == bundle.digest
    for name, array in small_bundle.weights.items():
        np.testing.assert_array_equal(array, bundle.weights[name])


def test_pairs_of_blocks_are_kept(
    small_bundle: Bundle, make_pairs: Callable[[SearchSpace, int], np.ndarray], tmp_path: Path
) -> None:
    """What accuracy tables say of pairs of blocks comes back; a bundle without says nothing of them."""
    plain = small_bundle.accuracy.percent
    paired = SlotTable(plain.values, plain.head, make_pairs(small_bundle.space, 0))
    tables = replace(small_bundle.accuracy, percent=paired)
    write_bundle(tmp_path, small_bundle.manifest, small_bundle.weights, tables, "card")
    genomes = small_bundle.space.random(np.random.default_rng(0), 50)
    read = load_bundle(tmp_path).accuracy.percent.evaluate(small_bundle.space, genomes)
    np.testing.assert_array_equal(paired.evaluate(small_bundle.space, genomes), read)
    assert plain.pairs is None


@pytest.mark.parametrize("name", FILES)
def test_one_flipped_bit_is_refused_by_name(folder: Path, name: str) -> None:
    """A file that differs by one bit is refused, and the message names it."""
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(BundleCorruptError, match=name):
        load_bundle(folder)


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
def test_a_missing_file_is_refused_by_name(folder: Path, name: str) -> None:
    """A file that is not there is refused, and the message names it."""
    (folder / name).unlink()
    with pytest.raises(BundleMissingError, match=name):
        load_bundle(folder)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    """No bundle at all is told as such."""
    with pytest.raises(BundleMissingError, match="nowhere"):
        load_bundle(tmp_path / "nowhere")


def test_an_unknown_format_is_refused(folder: Path) -> None:
    """A format of the future is refused with both versions, whatever else it holds."""
    change_manifest(folder, format=2, novelty=True)
    with pytest.raises(BundleVersionError, match="format 2 is unknown; this release reads format 1"):
        load_bundle(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": 3}, "name"),
        ({"novelty": True}, "novelty"),
        ({"files": {}}, "no hash for weights.safetensors"),
        ({"files": dict.fromkeys([*FILES, "../secret"], "0")}, "card.md|weights|tables|secret"),
    ],
)
def test_a_wrong_manifest_is_refused(folder: Path, changes: dict[str, object], message: str) -> None:
    """A manifest that does not fit its schema is refused with the key."""
    change_manifest(folder, **changes)
    with pytest.raises(BundleCorruptError, match=message):
        load_bundle(folder)


def test_a_manifest_that_is_no_json_is_refused(folder: Path) -> None:
    """A torn manifest is refused."""
    (folder / "manifest.json").write_bytes((folder / "manifest.json").read_bytes()[:100])
    with pytest.raises(BundleCorruptError, match=r"manifest\.json"):
        load_bundle(folder)


def test_a_name_outside_the_folder_is_refused(folder: Path) -> None:
    """The manifest cannot make the loader read another place."""
    manifest = json.loads((folder / "manifest.json").read_text())
    change_manifest(folder, files=manifest["files"] | {"../other": "0"})
    with pytest.raises(BundleCorruptError, match="no name of a file"):
        load_bundle(folder)


def test_a_folder_in_place_of_a_file_is_refused(folder: Path) -> None:
    """What cannot be read is refused with the system's reason."""
    (folder / "card.md").unlink()
    (folder / "card.md").mkdir()
    with pytest.raises(BundleError, match=r"card\.md cannot be read"):
        load_bundle(folder)
    shutil.rmtree(folder)
