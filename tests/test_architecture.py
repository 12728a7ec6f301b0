"""The house stands as it was drawn: imports go down only, and heavy libraries stay in their rooms."""

import ast
import subprocess
import sys
from pathlib import Path

#: In a process of its own: import-linter configures logging anew, and disables the loggers that there are.
LINT = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"


def test_import_contracts_hold(clone: Path) -> None:
    """Every import-linter contract of pyproject.toml is kept."""
    lint = subprocess.run([sys.executable, "-c", LINT], cwd=clone, capture_output=True, text=True, check=False)
    assert lint.returncode == 0, lint.stdout + lint.stderr


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
