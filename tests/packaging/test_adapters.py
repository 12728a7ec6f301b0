"""The adapters for update services, called as those call them, beside a daemon that serves."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from adaspring.bundle import Store
from adaspring.cli.process import DaemonProcess

#: Good health for so long ends a trial; long enough to be seen.
SOON_S, NEVER_S = 0.3, 1e6
Call = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def archive(versions: Callable[[str], Path], tmp_path: Path) -> Callable[[str], Path]:
    """Makes archives of versions of the small bundle."""

    def make(version: str) -> Path:
        path = tmp_path / f"toy-{version}.tar"
        with tarfile.open(path, "w") as made:
            made.add(versions(version), ".")
        return path

    return make


@pytest.fixture(params=[SOON_S])
def daemon(request: pytest.FixtureRequest, versions: Callable[[str], Path], tmp_path: Path) -> Iterator[DaemonProcess]:
    """A daemon that serves version 1, installed and committed; the parameter says how long a trial takes."""
    store = Store(tmp_path / "state" / "bundles" / "toy")
    store.install(versions("1"), keys=(), allow_unsigned=True)
    store.commit()
    config: dict[str, Any] = {
        "bundle": "toy",
        "bundles": {"allow_unsigned": True, "trial": {"duration_s": request.param}},
        "device": {"profile": "generic-x86_64", "background_profiling": False},
        "monitor": {"interval_s": 0.05},
    }
    with DaemonProcess(config, state=tmp_path / "state", sysroot=tmp_path / "nothing") as running:
        yield running


@pytest.fixture
def call(daemon: DaemonProcess, clone: Path, tmp_path: Path) -> Call:
    """Runs an adapter with the commands of that daemon."""
    ctl = tmp_path / "adaspringctl"
    module = f"{shlex.quote(sys.executable)} -m adaspring.cli.adaspringctl"
    ctl.write_text(
        f'#!/bin/sh\nexec {module} --socket {daemon.folder}/run "$@" --config {daemon.folder}/adaspringd.toml\n'
    )
    ctl.chmod(0o755)

    def run(adapter: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "ADASPRINGCTL": str(ctl), **variables}
        script = ctl if adapter == "adaspringctl" else clone / "deploy" / adapter
        return subprocess.run([script, *arguments], check=False, capture_output=True, text=True, env=environment)

    return run


@pytest.fixture
def mender(call: Call, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Calls the update module with a state and a folder as Mender makes it."""
    folder = tmp_path / "mender"
    (folder / "files").mkdir(parents=True)
    (folder / "tmp").mkdir()

    def run(state: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return call("mender/adaspring-bundle", state, str(folder), **variables)

    return run


def served(daemon: DaemonProcess) -> str:
    """Version of the bundle that answers."""
    with daemon.control() as control:
        return str(control.call("status")["bundle_version"])


def test_mender_commits_what_ends_its_trial_well(
    mender: Call, archive: Callable[[str], Path], daemon: DaemonProcess, tmp_path: Path
) -> None:
    """The states of an update without a fault, in Mender's order."""
    assert "Yes\n" == mender("SupportsRollback").stdout
    archive("2").rename(tmp_path / "mender/files/toy.tar")
    assert "" == mender("Download").stdout
    assert 0 == mender("ArtifactInstall").returncode
    assert "No\n" == mender("NeedsArtifactReboot").stdout
    assert "2" == served(daemon)
    told = mender("ArtifactCommit")
    assert 0 == told.returncode, told.stderr
    pointer = Store(tmp_path / "state/bundles/toy").pointer()
    assert pointer is not None
    assert pointer.trial is None
    assert 0 == mender("Cleanup").returncode
    assert "2" == served(daemon)


@pytest.mark.parametrize("daemon", [NEVER_S], indirect=True)
def test_mender_takes_back_what_does_not_prove_itself(
    mender: Call, archive: Callable[[str], Path], daemon: DaemonProcess, tmp_path: Path
) -> None:
    """A trial that does not end fails the commit; one that the daemon ended badly is not taken back twice."""
    archive("2").rename(tmp_path / "mender/files/toy.tar")
    assert 0 == mender("ArtifactInstall").returncode
    told = mender("ArtifactCommit", ADASPRING_PATIENCE_S="1")
    assert (1, True) == (told.returncode, "is adaspringd running" in told.stderr)
    assert 0 == mender("ArtifactRollback").returncode
    assert "1" == served(daemon)
    told = mender("ArtifactCommit")
    assert (1, True) == (told.returncode, "the trial failed" in told.stderr)
    assert 0 == mender("ArtifactFailure").returncode
    assert "1" == served(daemon)


def test_mender_refuses_what_is_no_bundle(mender: Call, daemon: DaemonProcess, tmp_path: Path) -> None:
    """An artifact without a file, and one with another file; the daemon serves what it served."""
    assert 1 == mender("ArtifactInstall").returncode
    (tmp_path / "mender/files/notes.txt").write_text("no archive")
    told = mender("ArtifactInstall")
    assert (1, True) == (told.returncode, "tar archive of a bundle" in told.stderr)
    assert 0 == mender("ArtifactFailure").returncode
    assert "1" == served(daemon)


def test_thin_edge_lists_installs_and_removes(
    call: Call, archive: Callable[[str], Path], daemon: DaemonProcess
) -> None:
    """What is served is listed by name and version; a removed version makes room for the one before."""
    plugin = "thin-edge/adaspring"
    assert "toy\t1\n" == call(plugin, "list").stdout
    assert 0 == call(plugin, "prepare").returncode
    path = str(archive("2.5-rc1"))
    told = call(plugin, "install", "toy", "--module-version", "2.5-rc1", "--file", path)
    assert 0 == told.returncode, told.stderr
    assert 0 == call(plugin, "finalize").returncode
    assert "toy\t2.5-rc1\n" == call(plugin, "list").stdout
    assert 0 == call(plugin, "install", "toy", "--file", path).returncode
    for _ in range(2):
        assert 0 == call(plugin, "remove", "toy", "--module-version", "2.5-rc1").returncode
        assert "toy\t1\n" == call(plugin, "list").stdout
    assert "1" == served(daemon)


def test_thin_edge_is_told_what_cannot_be(call: Call, archive: Callable[[str], Path], tmp_path: Path) -> None:
    """1 for a call that is none, 2 for one that fails; nothing is installed then."""
    plugin, path = "thin-edge/adaspring", str(archive("2"))
    for arguments in (
        [],
        ["update-list"],
        ["install"],
        ["install", "toy", "--colour", "red"],
        ["install", "toy", "--file"],
    ):
        assert 1 == call(plugin, *arguments).returncode
    for arguments, words in (
        (["install", "toy"], "give the module a URL"),
        (["install", "toy", "--file", str(tmp_path / "none.tar")], "neither a folder nor an archive"),
        (["install", "toy", "--module-version", "3", "--file", path], "is toy:2, not toy:3"),
        (["install", "har", "--file", path], "is toy:2, not har"),
        (["remove", "toy"], "name the version"),
    ):
        told = call(plugin, *arguments)
        assert (2, True) == (told.returncode, words in told.stderr), told.stderr
    assert "toy\t1\n" == call(plugin, "list").stdout


def test_plugin_is_one_before_anything_is_installed(call: Call, tmp_path: Path) -> None:
    """Then it lists nothing and ends well: thin-edge.io drops plugins that do not."""
    (tmp_path / "state/bundles/toy/pointer.json").unlink()
    told = call("thin-edge/adaspring", "list")
    assert (0, "") == (told.returncode, told.stdout)
