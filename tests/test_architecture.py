"""The house stands as it was drawn: imports go down only, and heavy libraries stay in their rooms."""

from pathlib import Path

import pytest
from importlinter.cli import lint_imports


def test_import_contracts_hold(clone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every import-linter contract of pyproject.toml is kept."""
    status = lint_imports(config_filename=str(clone / "pyproject.toml"), no_cache=True)
    assert status == 0, capsys.readouterr().out
