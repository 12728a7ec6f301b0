"""What pages say of formats is what the code has."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import numpy as np
import pytest

from adaspring.app.commands import COMMANDS
from adaspring.bundle.manifest import Manifest
from adaspring.resources import resource
from adaspring.space import OPERATORS, SlotSpec, SpaceSpec


@pytest.fixture(scope="module")
def bundle_page(clone: Path) -> str:
    """The page on the bundle format."""
    return (clone / "docs" / "bundle.md").read_text(encoding="utf-8")


def test_page_on_bundles_names_every_key(bundle_page: str) -> None:
    """Of manifest, space and slots, and of the tables' file."""
    spans = set(re.findall(r"`([\w.]+)`", bundle_page))
    for kind in (Manifest, SpaceSpec, SlotSpec):
        assert set() == {field.name for field in msgspec.structs.fields(kind)} - spans, kind
    with np.load(resource("models", "har", "bundle", "tables.npz"), allow_pickle=False) as arrays:
        assert set() == set(arrays.files) - spans
        assert [4, 2] == [arrays[name].ndim for name in ("accuracy_values", "accuracy_head")]


def test_page_on_bundles_names_every_operator(bundle_page: str) -> None:
    """By its letter and its name."""
    for operator in OPERATORS.values():
        assert f"`{operator.letter}` (`{operator.name}`)" in bundle_page


def test_files_of_a_bundle_are_those_of_the_page(bundle_page: str) -> None:
    """Each file that ships has its row."""
    for path in resource("models", "har", "bundle").iterdir():
        assert f"| `{path.name}` |" in bundle_page


def test_page_on_the_protocol_names_every_command(clone: Path) -> None:
    """Of the control socket, and no other."""
    page = (clone / "docs" / "protocol.md").read_text(encoding="utf-8").partition("| command | result |")[2]
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", page, flags=re.MULTILINE)
    assert set(COMMANDS) == {name for row in rows for name in re.findall(r"\w+", row)}
