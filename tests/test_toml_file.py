from __future__ import annotations

from pathlib import Path

import pytest

from adaspring.errors import ConfigError
from adaspring.toml_file import nearest, read_toml


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a = \n", "this is not TOML: .*line 1"),
        (b"a = '\xff'", "cannot be read: .*utf-8"),
        (None, "there is no such file"),
    ],
)
def test_what_is_wrong_is_told_with_the_file(content: bytes | None, message: str, tmp_path: Path) -> None:
    """In the exception that the caller names."""
    path = tmp_path / "f.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=rf"f\.toml: {message}"):
        read_toml(path, ConfigError)


def test_the_nearest_name_is_meant() -> None:
    """Where none is near, all are named."""
    assert nearest("bundel", ["bundle", "engine"]) == "did you mean bundle?"
    assert nearest("thread", ["threads"], "engine.") == "did you mean engine.threads?"
    assert nearest("x", ["bundle", "engine"]) == "known are bundle, engine"
    assert nearest("x", []) == "known are none"
