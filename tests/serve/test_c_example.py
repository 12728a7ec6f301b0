"""The client in C, compiled and run."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pytest

if TYPE_CHECKING:
    from tests.conftest import RunningPlane

ServeToy: TypeAlias = "Callable[..., RunningPlane]"

SAMPLE = np.array([[1, -2, 0.5], [0, 0, 0]], dtype="<f4")


@pytest.fixture(scope="module")
def program(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled example; `scripts/system-packages.sh` installs what it needs."""
    tools = [shutil.which(name) for name in ("cc", "pkg-config")]
    if None in tools:
        pytest.skip("there is no C compiler, or no pkg-config: see scripts/system-packages.sh")
    found = subprocess.run(
        [str(tools[1]), "--cflags", "--libs", "libzmq", "libcjson"], capture_output=True, text=True, check=False
    )
    if found.returncode:
        pytest.skip(f"libzmq or cJSON is not installed for C: {found.stderr.strip()}")
    path = tmp_path_factory.mktemp("c") / "infer"
    source = clone / "docs" / "examples" / "infer.c"
    flags = ["-std=c11", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([str(tools[0]), *flags, str(source), "-o", str(path), *found.stdout.split()], check=True)
    return path


def test_second_implementation_is_answered(serve_toy: ServeToy, program: Path) -> None:
    """A client that shares no line with ours gets label, values and subnet."""
    plane = serve_toy()
    done = subprocess.run(
        [str(program), plane.endpoint], input=SAMPLE.tobytes(), capture_output=True, check=True, timeout=30
    )
    assert ["label low", "value 1", "value -2", "value 0.5", "subnet toy-1"] == done.stdout.decode().splitlines()


def test_it_says_what_is_wrong(serve_toy: ServeToy, program: Path) -> None:
    """A sample that is too short, and a daemon that refuses."""
    endpoint = serve_toy().endpoint
    short = subprocess.run([str(program), endpoint], input=b"", capture_output=True, check=False, timeout=30)
    assert (1, True) == (short.returncode, b"too short" in short.stderr)
