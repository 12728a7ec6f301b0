from __future__ import annotations

import string
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adaspring.cli.process import DaemonProcess, to_toml
from adaspring.errors import ClientError, ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PLAIN = (
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs", "Cc"]))
)
KEYS = st.text(string.ascii_letters + "_", min_size=1, max_size=8)
TABLES = st.recursive(
    st.dictionaries(KEYS, PLAIN | st.lists(PLAIN, max_size=3), max_size=3),
    lambda inner: st.dictionaries(KEYS, PLAIN | inner, max_size=3),
    max_leaves=8,
)


@given(TABLES)
def test_written_toml_is_read_back(table: dict[str, Any]) -> None:
    """Whatever nested mappings a caller configures, the daemon reads them."""
    assert table == tomllib.loads(to_toml(table))


def test_process_is_ready_inside_and_gone_outside(small_bundle_folder: Path, tmp_path: Path) -> None:
    """It answers when the block begins; behind it neither process nor folder is left, whoever ended it."""
    config = {"bundle": str(small_bundle_folder), "device": {"background_profiling": False}}
    with DaemonProcess(config, sysroot=tmp_path) as daemon:
        assert daemon.ready_s > 0
        with daemon.client() as client:
            assert client.ready()
        assert daemon.endpoint == f"ipc://{daemon.folder}/run/infer.sock"
    assert daemon.process.returncode == 0
    assert not daemon.folder.exists()


def test_process_that_ends_is_told_with_its_log() -> None:
    """What the daemon said is in the error, and its folder is gone."""
    daemon = DaemonProcess({"bundle": "hra"})
    with pytest.raises(ConfigError, match=r"adaspringd ended with 78: .*there is no bundle 'hra'"), daemon:
        pass
    assert not daemon.folder.exists()


def test_process_that_does_not_answer_is_ended(small_bundle_folder: Path) -> None:
    """Nobody waits for ever, and nothing is left behind."""
    daemon = DaemonProcess({"bundle": str(small_bundle_folder)}, timeout_s=0.0)
    with pytest.raises(ClientError, match="does not answer after 0 s"), daemon:
        pass
    assert daemon.process.returncode is not None
    assert not daemon.folder.exists()
