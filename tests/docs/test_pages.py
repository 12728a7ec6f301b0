"""What pages say of formats is what the code has."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import numpy as np
import pytest

from adaspring.app.commands import COMMANDS
from adaspring.bundle import load_bundle
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


def test_symptoms_are_words_of_the_code(clone: Path) -> None:
    """Messages that the page on troubleshooting quotes up to an ellipsis are still those that people see."""
    page = (clone / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    quoted = re.findall(r"`([a-z][a-z' ]+) …", page)
    code = "\n".join(path.read_text(encoding="utf-8") for path in (clone / "daemon").rglob("*.py"))
    assert len(quoted) >= 3
    assert [] == [message for message in quoted if message not in code]


def test_pictures_are_of_the_bundle_that_ships(clone: Path) -> None:
    """Name, version and subnet that they show are its own; `make pictures` draws them anew."""
    bundle = load_bundle(resource("models", "har", "bundle"))
    picture = (clone / "docs" / "pictures" / "top.svg").read_text(encoding="utf-8").replace("&#160;", " ")
    assert f">{bundle.manifest.name} {bundle.manifest.version}<" in picture
    (subnet,) = re.findall(r">((?:f32|i8):[\w.-]+)<", picture)
    assert subnet == bundle.space.format(bundle.space.parse(subnet))
