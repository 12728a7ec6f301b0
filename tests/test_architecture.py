"""The house stands as it was drawn: imports go down only, and heavy libraries stay in their rooms."""

import ast
from pathlib import Path

import pytest
from importlinter.cli import lint_imports


def test_import_contracts_hold(clone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every import-linter contract of pyproject.toml is kept."""
    status = lint_imports(config_filename=str(clone / "pyproject.toml"), no_cache=True)
    assert status == 0, capsys.readouterr().out


def test_the_wall_clock_stamps_records_and_times_missions_alone(clone: Path) -> None:
    """A clock that jumps when it is first synchronised cannot move a decision: stamps and missions read it."""
    package = clone / "daemon" / "adaspring"
    readers = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and ast.unparse(node) in {"time.time", "time.time_ns", "time.localtime", "datetime.now", "datetime.today"}
    }
    stamps = {"app/models.py", "cli/ctl/report.py", "profile/profiler.py", "serve/events.py"}
    # A mission's end is a time of day; it is honoured only while the clock is synchronised.
    missions = {"context/wall_clock.py"}
    assert stamps | missions == readers
