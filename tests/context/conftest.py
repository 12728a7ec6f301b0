"""Trees of sensor files, written as the kernel shows them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from adaspring.context.sysroot import Sysroot

#: ``put(path, text)`` writes a file of the tree.
Put = Callable[[str, str], None]


@pytest.fixture
def put(tmp_path: Path) -> Put:
    """Writes a file of the tree, with the folders around it."""

    def write(path: str, text: str) -> None:
        target = tmp_path / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")

    return write


@pytest.fixture
def sysroot(tmp_path: Path) -> Sysroot:
    """The tree to read in."""
    return Sysroot(tmp_path)
