from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from adaspring.app.locate import bundle_folder, find_board, find_tables
from adaspring.boards import DeviceProfile
from adaspring.bundle import Bundle, load_bundle
from adaspring.engine.onnx.engine import OnnxEngine
from adaspring.errors import BoardError, BundleMissingError
from adaspring.profile import save_tables, tables_path
from adaspring.resources import resource
from adaspring.tables import DeviceTables

if TYPE_CHECKING:
    from tests.app.conftest import Board


def test_name_finds_the_bundle_that_ships() -> None:
    """A model is served by its name alone."""
    assert resource("models", "har", "bundle") == bundle_folder("har")


def test_folder_here_wins_over_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path may be relative, and what comes back is absolute: the daemon hands it to another process."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "har").mkdir()
    assert tmp_path / "har" == bundle_folder("har")
    assert tmp_path / "some/where" == bundle_folder("some/where")
    assert Path("/srv/bundle") == bundle_folder("/srv/bundle")


def test_missing_bundle_is_told(tmp_path: Path) -> None:
    """For a name the names that there are, for a path the file that is not there."""
    with pytest.raises(BundleMissingError, match=r"there is no bundle 'hra': .*those that ship are .*har"):
        bundle_folder("hra")
    with pytest.raises(BundleMissingError, match=r"nowhere: manifest\.json is missing"):
        load_bundle(bundle_folder(f"{tmp_path}/nowhere"))


def test_board_is_detected_named_or_given(board: Board, tmp_path: Path) -> None:
    """The sysroot shows which board it is, unless a person says it, by name or by path."""
    (board.root / "sys/firmware/devicetree/base/model").write_text("Raspberry Pi 4 Model B Rev 1.4\0", encoding="utf-8")
    assert find_board("auto", board.root).name == "raspberry-pi-4b"
    assert find_board("raspberry-pi-5", board.root).name == "raspberry-pi-5"
    path = tmp_path / "mine.toml"
    text = (resource("device_profiles") / "raspberry-pi-5.toml").read_text(encoding="utf-8")
    path.write_text(text.replace('name = "raspberry-pi-5"', 'name = "mine"'), encoding="utf-8")
    assert find_board(str(path), board.root).name == "mine"
    with pytest.raises(BoardError, match="did you mean raspberry-pi-5"):
        find_board("rasperry-pi-5", board.root)


@dataclass(frozen=True)
class Device:
    """Where tables of the small bundle are looked for, and some to put there."""

    state: Path
    bundle: Bundle
    profile: DeviceProfile
    engine: OnnxEngine
    tables: DeviceTables

    def save(self, engine_name: str) -> Path:
        """Leave tables for an engine; returns their file."""
        path = tables_path(self.state, self.bundle.digest, self.profile.name, engine_name)
        save_tables(path, self.tables)
        return path

    def find(self) -> DeviceTables:
        """What the daemon would decide from."""
        return find_tables(self.bundle, self.profile, self.engine, self.state)


@pytest.fixture
def device(
    tmp_path: Path, small_bundle: Bundle, profile: DeviceProfile, engine: OnnxEngine, as_measured: DeviceTables
) -> Device:
    """A device without tables."""
    return Device(tmp_path, small_bundle, profile, engine, as_measured)


def test_measured_tables_are_taken(device: Device) -> None:
    """What was measured for this bundle on this device with this engine is used."""
    device.save(device.engine.name)
    assert device.tables.facts == device.find().facts


def test_without_tables_an_estimate_stands_in(device: Device, caplog: pytest.LogCaptureFixture) -> None:
    """Tables of another engine do not count, and nothing is wrong about having none."""
    device.save("another-engine")
    assert device.find().facts.estimate
    assert [] == caplog.records


def test_damaged_tables_do_not_keep_a_device_from_serving(device: Device, caplog: pytest.LogCaptureFixture) -> None:
    """An estimate stands in, and the journal says which file is damaged and what to do."""
    path = device.save(device.engine.name)
    path.write_bytes(path.read_bytes()[:-100])
    assert device.find().facts.estimate
    [record] = caplog.records
    assert logging.ERROR == record.levelno
    assert str(path) in record.message
    assert "adaspring profile" in record.message
