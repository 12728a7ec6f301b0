from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from adaspring.profile import replace_file

#: Dies when what it writes is about to reach the disk.
DYING = """
import os, signal, sys
from pathlib import Path
from adaspring.profile import replace_file
os.fsync = lambda fd: os.kill(os.getpid(), signal.SIGKILL)
replace_file(Path(sys.argv[1]), b"new")
"""


def test_a_writer_that_was_killed_leaves_the_old_file_and_its_rest_is_cleared_away(tmp_path: Path) -> None:
    """Whoever is killed while it writes, again and again, takes room on the disk but once."""
    path = tmp_path / "tables.npz"
    replace_file(path, b"old")
    for _ in range(2):
        assert -signal.SIGKILL == subprocess.run([sys.executable, "-c", DYING, str(path)], check=False).returncode
        assert b"old" == path.read_bytes()
        assert 2 == len(list(tmp_path.iterdir()))
    replace_file(path, b"whole")
    assert [path] == list(tmp_path.iterdir())
    assert b"whole" == path.read_bytes()


def test_a_file_that_another_process_is_writing_stays(tmp_path: Path) -> None:
    """Only what belongs to nobody any more is cleared away."""
    path = tmp_path / "tables.npz"
    under_way = tmp_path / f".{path.name}.1"
    under_way.write_bytes(b"by a process that lives")
    other = tmp_path / f".{path.name}.backup"
    other.write_bytes(b"by a person")
    replace_file(path, b"whole")
    assert {path, under_way, other} == set(tmp_path.iterdir())
