"""The documentation builds as a site, and what it names is there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

#: Spans of code that name something in the repository begin with one of these.
FOLDERS = ("benchmarks", "daemon", "deploy", "device_profiles", "docs", "models", "scripts", "tests")


def pages(clone: Path) -> list[Path]:
    """Everything for people that has links or names files."""
    return [clone / "README.md", clone / "CONTRIBUTING.md", *sorted((clone / "docs").glob("*.md"))]


def test_site_builds_without_a_warning(clone: Path, tmp_path: Path) -> None:
    """Every page is in the navigation, every link and anchor has its target, and nothing is fetched from elsewhere."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=clone, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    built = {page.stem for page in (tmp_path / "site").glob("*.html")}
    assert {page.stem for page in (clone / "docs").glob("*.md")} <= built
    text = (tmp_path / "site" / "index.html").read_text()
    assert [] == re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="https?:[^"]*"', text)


def test_pictures_fetch_nothing(clone: Path) -> None:
    """They are drawn with the reader's own fonts."""
    pictures = list((clone / "docs" / "pictures").glob("*.svg"))
    assert pictures
    for picture in pictures:
        assert "url(http" not in picture.read_text()


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_links_of_the_repository_have_targets(clone: Path, name: str) -> None:
    """What the site does not contain links into the repository."""
    links = re.findall(r"\]\((?!https?:)([^)#]+)", (clone / name).read_text())
    assert [] == [link for link in links if not (clone / link).exists()]


def test_files_that_are_named_exist(clone: Path) -> None:
    """A span of code that reads like a path of the repository is one."""
    named = {
        (page.name, span)
        for page in pages(clone)
        for span in re.findall(r"`((?:" + "|".join(FOLDERS) + r")/[\w./-]+)`", page.read_text())
    }
    assert len(named) >= 20
    assert set() == {(page, span) for page, span in named if not (clone / span).exists()}
