from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from adaspring.cli.adaspringctl import main


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration that trusts one key, whose private half lies beside it."""
    pytest.importorskip("cryptography", reason="signatures need the cryptography package")
    assert main(["bundle", "make-key", str(tmp_path / "v.key"), str(tmp_path / "v.pub")]) == 0
    path = tmp_path / "c.toml"
    path.write_text(
        f'bundle = "toy"\npaths.state = "{tmp_path}/state"\nbundles.keys = ["{tmp_path}/v.pub"]\n', encoding="utf-8"
    )
    return path


def bundle(config: Path, *arguments: str) -> int:
    """Run a command of the family, with no daemon there."""
    return main(["--socket", str(config.parent), "bundle", *arguments, "--config", str(config)])


def test_signed_bundle_is_installed_committed_and_taken_back(
    config: Path, small_bundle_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The whole way without a daemon: sign, install, list, verify, commit, roll back."""
    folder = tmp_path / "toy"
    shutil.copytree(small_bundle_folder, folder)
    assert bundle(config, "install", str(folder)) == 1
    assert "adaspringctl bundle sign" in capsys.readouterr().err
    assert main(["bundle", "sign", str(folder), "--key", str(tmp_path / "v.key")]) == 0
    assert bundle(config, "install", str(folder)) == 0
    assert "from its next start on" in capsys.readouterr().out
    assert bundle(config, "list") == 0
    assert "current, on trial" in capsys.readouterr().out
    assert bundle(config, "verify") == 0
    assert bundle(config, "commit") == 0
    capsys.readouterr()
    assert bundle(config, "list", "--json") == 0
    assert [row["state"] for row in json.loads(capsys.readouterr().out)] == ["current"]
    assert bundle(config, "rollback") == 0
    assert "the bundle that ships" in capsys.readouterr().out
    assert bundle(config, "commit") == 1
    assert "no bundle is installed" in capsys.readouterr().err


def test_of_several_models_one_must_be_named(
    config: Path, small_bundle_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is installed tells its model; all else asks for it."""
    text = config.read_text().replace('bundle = "toy"\n', "")
    config.write_text(f'{text}\n[[models]]\nbundle = "har"\n[[models]]\nbundle = "toy"\n')
    assert bundle(config, "install", str(small_bundle_folder)) == 1
    assert "adaspringctl bundle sign" in capsys.readouterr().err
    assert bundle(config, "list") == 1
    assert "name one of har, toy by --model" in capsys.readouterr().err
    assert bundle(config, "list", "--model", "toy") == 0
    assert "nothing is installed" in capsys.readouterr().out
    assert bundle(config, "list", "--model", "fsdd") == 1
    assert "is no bundle of har or toy" in capsys.readouterr().err


def test_bundle_of_another_model_is_refused(
    config: Path, small_bundle_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the daemon would not serve is not installed."""
    config.write_text(config.read_text().replace('"toy"', '"har"'))
    assert bundle(config, "install", str(small_bundle_folder)) == 1
    assert "is no bundle of har" in capsys.readouterr().err
