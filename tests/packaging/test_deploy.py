"""What deploy/ ships fits the code and the standard tools."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

#: Extras that the Debian package has.
PACKAGED = ("http", "metrics", "systemd", "update")
#: On systemd's scale from 0 (safe) to 10, in tenths.
MOST_EXPOSURE = 15


def analyzed(clone: Path, folder: Path, drop_ins: list[str], name: str = "adaspringd.service") -> int:
    """Exposure of a unit with drop-ins, in tenths."""
    unit = folder / name
    texts = [(clone / "deploy" / "systemd" / "drop-ins" / name).read_text() for name in drop_ins]
    unit.write_text("\n".join([(clone / "deploy" / "systemd" / name).read_text(), *texts]))
    tool = shutil.which("systemd-analyze")
    if tool is None:
        pytest.skip("systemd-analyze is not installed")
    command = [tool, "security", "--offline=true", "--no-pager", str(unit)]
    text = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True).stdout
    found = re.search(r"Overall exposure level for \S+: (\d+)\.(\d)", text)
    assert found, text
    return 10 * int(found[1]) + int(found[2])


@pytest.mark.parametrize("drop_ins", [[], ["jetson.conf"], ["raspberry-pi.conf"], ["metrics.conf"], ["tcp.conf"]])
def test_exposure_is_low(clone: Path, tmp_path: Path, drop_ins: list[str]) -> None:
    """The unit as shipped, and with each drop-in, stays within the bound by systemd's own judgement."""
    assert analyzed(clone, tmp_path, drop_ins) <= MOST_EXPOSURE


def test_exposure_of_the_report_is_low(clone: Path, tmp_path: Path) -> None:
    """The unit that keeps a report after a failure stays within the same bound."""
    assert analyzed(clone, tmp_path, [], "adaspringd-failed.service") <= MOST_EXPOSURE


def test_every_requirement_is_locked(clone: Path) -> None:
    """Whatever the package needs is in its lock file, with a hash for each file."""
    project = tomllib.loads((clone / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *(each for name in PACKAGED for each in extras[name])]
    names = {re.split(r"[<>=;\[ ]", each)[0] for each in wanted if "python_version < '3.11'" not in each}
    lock = (clone / "deploy" / "debian" / "requirements.txt").read_text()
    locked = re.split(r"^(?=\S+==)", lock, flags=re.MULTILINE)[1:]
    assert set() == names - {each.partition("==")[0] for each in locked}
    assert all("--hash=sha256:" in each for each in locked)


@pytest.mark.parametrize("script", ["postinst", "prerm", "postrm", "assemble.sh"])
def test_maintainer_scripts_use_no_network(clone: Path, script: str) -> None:
    """They are shell that parses, and neither fetch nor resolve anything."""
    path = clone / "deploy" / "debian" / script
    subprocess.run(["/bin/sh", "-n", path], check=True)
    assert not re.search(r"\b(curl|wget|apt-get|git|https?://)\b", path.read_text())
