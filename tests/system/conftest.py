"""A booted Debian with the package installed, shared by the tests of a run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.machine import Machine, missing

#: What the scripts end with where mirror or package index cannot be reached (EX_TEMPFAIL of sysexits.h).
EXIT_UNREACHABLE = 75
#: A board that exists as files alone: one thermal zone at 61.5 degrees.
SENSOR_MILLIDEGREES = "61500"


def made(clone: Path, script: str, *arguments: str) -> Path:
    """What a script makes, by the path that it prints; a test without a network is skipped, but not in CI."""
    command = ["/bin/sh", f"scripts/{script}", *arguments]
    result = subprocess.run(command, cwd=clone, check=False, capture_output=True, text=True)
    if result.returncode == EXIT_UNREACHABLE and not os.environ.get("CI"):
        pytest.skip(f"no system test here: {result.stderr.strip().splitlines()[-1]}")
    assert result.returncode == 0, result.stderr
    return clone / result.stdout.strip().splitlines()[-1]


@pytest.fixture(scope="session")
def root(clone: Path) -> Path:
    """A Debian that can be booted."""
    why = missing()
    if why is not None:
        pytest.skip(f"no system test here: {why}")
    return made(clone, "debian-root.sh")


@pytest.fixture(scope="session")
def package(clone: Path) -> Path:
    """The Debian package of this clone, built as `make deb` builds it."""
    return made(clone, "build-deb.sh", sys.executable)


@pytest.fixture(scope="session")
def machine(root: Path, package: Path, clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A booted machine on which the package was just installed."""
    folder = tmp_path_factory.mktemp("machine")
    sensors = folder / "sensors"
    zone = sensors / "thermal_zone0"
    zone.mkdir(parents=True)
    (zone / "type").write_text("cpu-thermal\n", encoding="ascii")
    (zone / "temp").write_text(f"{SENSOR_MILLIDEGREES}\n", encoding="ascii")
    binds = {package: "/srv/adaspring.deb", sensors: "/srv/sensors", clone / "models": "/srv/models"}
    with Machine(root, folder, binds) as booted:
        booted.run("mkdir -p /etc/systemd/system/adaspringd.service.d")
        booted.run(
            "printf '[Service]\\nBindReadOnlyPaths=/srv/sensors:/sys/class/thermal\\n'"
            " > /etc/systemd/system/adaspringd.service.d/sensors.conf"
        )
        booted.run("dpkg --install /srv/adaspring.deb")
        yield booted


@pytest.fixture
def serving(machine: Machine) -> Machine:
    """The machine, whose daemon serves, whatever the test before did to it."""
    machine.run("systemctl reset-failed adaspringd; systemctl start adaspringd")
    machine.eventually("systemctl is-active adaspringd")
    machine.ask()
    return machine
