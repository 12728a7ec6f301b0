"""Bundles that come as one file."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from adaspring.bundle import archive as archives
from adaspring.bundle import load_bundle, unpacked
from adaspring.errors import BundleCorruptError, BundleMissingError


@pytest.fixture
def pack(tmp_path: Path) -> Callable[..., Path]:
    """Makes archives of members, a name and a content each, or as they are."""

    def make(*members: tuple[str, bytes] | tarfile.TarInfo) -> Path:
        path = tmp_path / "bundle.tar"
        with tarfile.open(path, "w") as archive:
            for member in members:
                if isinstance(member, tarfile.TarInfo):
                    archive.addfile(member)
                    continue
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                archive.addfile(info, io.BytesIO(member[1]))
        return path

    return make


@pytest.mark.parametrize(("mode", "inside"), [("w", "."), ("w:gz", "toy"), ("w:xz", "a/b")])
def test_archives_of_a_folder_are_taken(small_bundle_folder: Path, tmp_path: Path, mode: str, inside: str) -> None:
    """Compressed or not, with the folder or without; what was unpacked is gone afterwards."""
    path = tmp_path / "toy.archive"
    # The mode is one of many that tarfile knows; its types list them one by one.
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        archive.add(small_bundle_folder, inside)
    with unpacked(path) as folder:
        assert load_bundle(folder).digest == load_bundle(small_bundle_folder).digest
    assert not folder.exists()
    with unpacked(small_bundle_folder) as folder:
        assert small_bundle_folder == folder
    assert folder.exists()


def test_nothing_is_written_elsewhere(pack: Callable[..., Path]) -> None:
    """Of a path only the name counts, whatever it climbs."""
    with unpacked(pack(("../../../../../../tmp/manifest.json", b"{}"))) as folder:
        assert ["manifest.json"] == [path.name for path in folder.iterdir()]


def test_what_is_no_bundle_is_refused(
    pack: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Links, several folders, more than a board can hold, other files, and nothing at all."""
    link = tarfile.TarInfo("weights")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/shadow"
    other = tmp_path / "text"
    other.write_text("no archive")
    with pytest.raises(BundleMissingError, match="neither a folder nor an archive"), unpacked(tmp_path / "none"):
        pass
    with pytest.raises(BundleCorruptError, match="cannot be read as a tar archive"), unpacked(other):
        pass
    with pytest.raises(BundleCorruptError, match="no plain file"), unpacked(pack(link)):
        pass
    with pytest.raises(BundleCorruptError, match="one folder"), unpacked(pack(("a/x", b""), ("b/y", b""))):
        pass
    monkeypatch.setattr(archives, "MOST_BYTES", 1 << 20)
    with pytest.raises(BundleCorruptError, match="at most 1 MiB"), unpacked(pack(("x", bytes(1 << 20)), ("y", b"1"))):
        pass
