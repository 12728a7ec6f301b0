"""The bill of materials tells what is in the package, and what others say of it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

#: What packages state that do not use SPDX expressions.
STATED = {
    "Apache 2.0": "Apache-2.0",
    "License :: OSI Approved :: Apache Software License": "Apache-2.0",
    "MIT License": "MIT",
    "License :: OSI Approved :: MIT License": "MIT",
    "3-Clause BSD License": "BSD-3-Clause",
    "LGPLv2+": "LGPL-2.1-or-later",
}


def write(clone: Path, out: Path, made_s: str = "") -> Path:
    """Run the script, with the time of its sources or without; returns the folder that it wrote to."""
    environment = {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"}
    environment |= {"SOURCE_DATE_EPOCH": made_s} if made_s else {}
    command = [sys.executable, str(clone / "scripts" / "sbom.py"), "--output", str(out)]
    subprocess.run(command, check=True, env=environment)
    return out


@pytest.fixture(scope="module")
def written(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the script writes."""
    return write(clone, tmp_path_factory.mktemp("sbom"))


@pytest.fixture(scope="module")
def libraries(written: Path) -> dict[str, Any]:
    """Libraries of the bill, by name."""
    bill = json.loads((written / "adaspring.cdx.json").read_text())
    return {each["name"]: each for each in bill["components"] if each["type"] == "library"}


def name_of(package: Distribution) -> str:
    """Its name as lock files write it."""
    return package.metadata["Name"].lower().replace("_", "-")


def installed(libraries: dict[str, Any]) -> list[Distribution]:
    """Those that are installed here."""
    return [package for package in distributions() if name_of(package) in libraries]


def stated(package: Distribution) -> str:
    """The licence that a package states."""
    metadata = package.metadata
    classifiers = [line for line in metadata.get_all("Classifier", []) if line.startswith("License")]
    lines: list[str] = [*metadata.get_all("License-Expression", []), *metadata.get_all("License", []), *classifiers]
    # Some put the whole text of their licence there.
    first = next(line for line in lines if line and "\n" not in line)
    return STATED.get(first, first)


def test_bill_is_the_lock_file(libraries: dict[str, Any], clone: Path) -> None:
    """Every locked requirement with its version, every hash and a licence; nothing else, and no licence of nothing."""
    lock = (clone / "deploy" / "debian" / "requirements.txt").read_text()
    versions = dict(re.findall(r"^(\S+)==(\S+)", lock, flags=re.MULTILINE))
    assert versions == {name: each["version"] for name, each in libraries.items()}
    hashes = {found["content"] for each in libraries.values() for found in each["externalReferences"][0]["hashes"]}
    assert set(re.findall(r"sha256:(\w{64})", lock)) == hashes
    licences = tomllib.loads((clone / "deploy" / "debian" / "licences.toml").read_text())
    assert set(versions) == set(licences["packages"]) >= set(licences["inside"])


def test_licences_are_those_that_packages_state(libraries: dict[str, Any]) -> None:
    """Where a package is installed here, its own metadata agree."""
    packages = installed(libraries)
    assert len(packages) >= 10
    for package in packages:
        (licence,) = libraries[name_of(package)]["licenses"]
        assert licence["expression"] == stated(package), name_of(package)


def test_libraries_inside_wheels_are_listed(libraries: dict[str, Any]) -> None:
    """Every shared library that a wheel brings along has its line."""
    for package in installed(libraries):
        listed = [each["name"] for each in libraries[name_of(package)].get("components", ())]
        brought = {file.name for file in package.files or () if file.parts[0].endswith(".libs")}
        assert [] == [file for file in brought if not any(each in file for each in listed)]


def test_nothing_under_the_agpl_ships(written: Path, clone: Path) -> None:
    """jetson-stats is an extra that nothing else names."""
    assert "AGPL" not in (written / "licences.txt").read_text()
    assert "jetson-stats" not in (clone / "deploy" / "debian" / "requirements.txt").read_text()
    project = tomllib.loads((clone / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    naming = [name for name, wanted in extras.items() if any(each.startswith("jetson-stats") for each in wanted)]
    assert ["jetson"] == naming
    assert not any(each.startswith("jetson-stats") for each in project["dependencies"])


def test_models_have_their_own_licence(written: Path) -> None:
    """Bundles that ship are components, with the words of their manifests."""
    text = (written / "licences.txt").read_text()
    assert re.search(r"^har 1: .*commercial use is prohibited", text, flags=re.MULTILINE)


def test_page_lists_the_same(libraries: dict[str, Any], clone: Path) -> None:
    """The table of the documentation is the bill's."""
    page = (clone / "docs" / "licences.md").read_text()
    rows = dict(re.findall(r"^\| ([\w-]+) \| ([^|]+) \|$", page, flags=re.MULTILINE))
    assert {"library": "licence", "---": "---"} | {
        name: each["licenses"][0]["expression"] for name, each in libraries.items()
    } == rows


def test_same_sources_give_the_same_bytes(written: Path, clone: Path, tmp_path: Path) -> None:
    """No random number is in it, and no time but that of the sources."""
    dated = json.loads((write(clone, tmp_path, "1700000000") / "adaspring.cdx.json").read_text())
    assert dated["metadata"]["timestamp"] == "2023-11-14T22:13:20+00:00"
    write(clone, tmp_path)
    for name in ("adaspring.cdx.json", "licences.txt"):
        assert (written / name).read_bytes() == (tmp_path / name).read_bytes()
