from __future__ import annotations

import json
import logging
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import adaspring
from adaspring.bundle import Bundle, write_bundle
from adaspring.cli.adaspringd import EXIT_CONFIG, main
from adaspring.cli.process import to_toml

Refused = Callable[..., str]


@pytest.fixture(autouse=True)
def own_process() -> Iterator[None]:
    """Gives back what a daemon sets for its whole process."""
    root = logging.getLogger()
    handlers, level, interval_s = root.handlers[:], root.level, sys.getswitchinterval()
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    sys.setswitchinterval(interval_s)


@pytest.fixture
def refused(
    small_bundle_folder: Path, socket_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Refused:
    """Starts a daemon that should not start; returns what it said."""

    def start(*, status: int = EXIT_CONFIG, **config: object) -> str:
        path = tmp_path / "adaspringd.toml"
        paths = {"runtime": str(socket_folder / "run"), "state": str(tmp_path / "state")}
        everything = {"bundle": str(small_bundle_folder), "device": {"profile": "generic-x86_64"}, "paths": paths}
        path.write_text(to_toml(everything | config), encoding="utf-8")
        assert status == main(["--config", str(path)])
        said = capsys.readouterr().err
        assert " CRITICAL adaspring: " in said
        assert "Traceback" not in said
        assert not (socket_folder / "run").exists() or [] == list((socket_folder / "run").iterdir())
        return said

    return start


def test_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """The version of the package."""
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"adaspringd {adaspring.__version__}\n"


def test_unknown_key_is_refused_with_a_hint(refused: Refused) -> None:
    """A slip of the pen in the configuration keeps the daemon from starting, and says how to mend it."""
    assert "adaspringd.toml: unknown key bundel: did you mean bundle?" in refused(bundel="har")
    assert "unknown key monitor.intervals: did you mean monitor.interval_s?" in refused(monitor={"intervals": 2})


def test_missing_configuration_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A path that was given is meant: no falling back to defaults."""
    assert EXIT_CONFIG == main(["--config", str(tmp_path / "none.toml")])
    assert "none.toml: there is no such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"bundle": "hra"}, "there is no bundle 'hra'"),
        ({"device": {"profile": "rasberry-pi-5"}}, "did you mean raspberry-pi-5"),
        ({"paths": {"runtime": "/proc/none"}}, "/proc/none"),
        ({"policy": {"least_accuracy_percent": 99.0}}, "even the full network is predicted to reach only"),
    ],
)
def test_what_cannot_be_served_is_refused(refused: Refused, config: dict[str, object], message: str) -> None:
    """Whatever a person must mend ends the start with 78 and a sentence."""
    assert message in refused(**config)


def test_missing_engine_is_refused(refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that is asked for and not installed is named with its package."""
    monkeypatch.delitem(sys.modules, "adaspring.engine.torch.engine", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    assert "the engine 'torch' needs the package torch" in refused(engine={"name": "torch"})


@pytest.fixture
def copy(small_bundle_folder: Path, tmp_path: Path) -> Path:
    """A bundle to be spoilt."""
    path = tmp_path / "bundle"
    shutil.copytree(small_bundle_folder, path)
    return path


@pytest.mark.parametrize("name", ["manifest.json", "weights.safetensors", "tables.npz", "card.md"])
def test_missing_file_of_the_bundle_is_named(refused: Refused, copy: Path, name: str) -> None:
    """A bundle that is not whole is not served."""
    (copy / name).unlink()
    assert f"bundle {copy}: {name} is missing" in refused(bundle=str(copy))


@pytest.mark.parametrize("name", ["weights.safetensors", "tables.npz", "card.md"])
def test_flipped_byte_is_found(refused: Refused, copy: Path, name: str) -> None:
    """In whichever file it is."""
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    assert f"bundle {copy}: {name} is not the file that the manifest names" in refused(bundle=str(copy))


def test_unknown_format_is_refused(refused: Refused, copy: Path) -> None:
    """A bundle of a later release is told by its format, whatever else it holds."""
    path = copy / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 99, "new": "key"}), encoding="utf-8")
    assert f"bundle {copy}: format 99 is unknown; this release reads format 1" in refused(bundle=str(copy))


def test_impossible_space_is_refused(refused: Refused, copy: Path) -> None:
    """A manifest whose space cannot exist is no reason for a trace."""
    path = copy / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["space"]["slots"][0]["skippable"] = True
    path.write_text(json.dumps(manifest), encoding="utf-8")
    assert "slot 0" in refused(bundle=str(copy))


def test_bundle_that_cannot_be_assembled_is_told(refused: Refused, small_bundle: Bundle, tmp_path: Path) -> None:
    """Hashes match, a tensor is missing: a failure that is told in a sentence."""
    weights = {name: array for name, array in small_bundle.weights.items() if name != "head.bias"}
    path = tmp_path / "without head"
    write_bundle(path, small_bundle.manifest, weights, small_bundle.accuracy, "# Without a head\n")
    assert "the bundle has no tensor 'head.bias'" in refused(status=1, bundle=str(path))
