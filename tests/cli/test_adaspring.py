from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import adaspring
from adaspring.cli.adaspring import main


def test_help_names_every_subcommand() -> None:
    """Also as a process, and without torch, which only training needs."""
    code = "import sys; sys.modules['torch'] = None; from adaspring.cli.adaspring import main; main(['--help'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert "usage: adaspring" in done.stdout
    for name in ("train", "evaluate", "profile", "demo", "fit-scenario"):
        assert re.search(rf"^    {name}\s", done.stdout, re.MULTILINE)


def test_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """The version of the package."""
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"adaspring {adaspring.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["profile", "--bundle", "hra"], "adaspring: there is no bundle 'hra'"),
        (["profile", "--device", "no-such-board"], "adaspring: there is no device profile 'no-such-board'"),
        (["demo", "--seconds", "0"], "adaspring: a day must take some time"),
        (["demo", "--seconds", "5", "--scenario", "winter"], "winter"),
    ],
)
def test_mistake_is_told_in_a_sentence(
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Exit status 1 and one line on standard error, without a trace, before anything is measured."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert main(arguments) == 1
    assert [] == list(tmp_path.iterdir())
    err = capsys.readouterr().err
    assert message in err
    assert "Traceback" not in err


def test_training_without_torch_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The library that only training needs is named where it is missing."""
    for name in [name for name in sys.modules if name.startswith(("adaspring.workbench", "adaspring.cli.workbench"))]:
        monkeypatch.delitem(sys.modules, name)
    # Where another test has imported it, the package still has it by that name.
    monkeypatch.delattr("adaspring.cli.workbench", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    assert main(["train", str(tmp_path / "recipe.toml")]) == 1
    assert "pip install 'adaspring[train]'" in capsys.readouterr().err
