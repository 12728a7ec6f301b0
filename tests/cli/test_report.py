from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest

from adaspring.cli.adaspringctl import main
from adaspring.cli.ctl.report import MASK, masked
from adaspring.cli.ctl.service import install_files
from adaspring.cli.process import DaemonProcess

KEY = "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"


def contents(path: Path) -> dict[str, str]:
    """Files of an archive by name."""
    with tarfile.open(path) as archive:
        found: dict[str, str] = {}
        for member in archive.getmembers():
            file = archive.extractfile(member)
            assert file is not None
            found[member.name.partition("/")[2]] = file.read().decode()
        return found


def test_report_holds_what_is_needed(daemon: DaemonProcess, tmp_path: Path) -> None:
    """Status, decisions, configuration and system are in it, readable by programs where they can be."""
    out = tmp_path / "r.tar.gz"
    config = daemon.folder / "adaspringd.toml"
    arguments = ["--socket", str(daemon.folder / "run"), "report", "--config", str(config), "--output", str(out)]
    assert main(arguments) == 0
    found = contents(out)
    assert json.loads(found["status.json"])["model"] == "toy"
    assert json.loads(found["decisions.json"])[0]["cause"]["kind"] == "start"
    assert config.read_text() == found["adaspringd.toml"]
    assert "MemTotal" in found["system.txt"]
    assert "numpy" in found["packages.txt"]


def test_report_of_a_daemon_that_is_down_says_so(tmp_path: Path) -> None:
    """The most common case for a report: everything else is still collected, secrets of the file masked."""
    config = tmp_path / "c.toml"
    config.write_text(f'seed = 1\n# api_token = "hunter2"\nsecret_key = "{KEY}"\n')
    out = tmp_path / "r.tar.gz"
    arguments = ["--socket", str(tmp_path), "report", "--config", str(config), "--output", str(out)]
    assert main(arguments) == 0
    found = contents(out)
    assert found["status.json"].startswith("not available: nobody answers")
    assert "seed = 1" in found["adaspringd.toml"]
    assert "hunter2" not in found["adaspringd.toml"]
    assert KEY not in found["adaspringd.toml"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("password = 'a b'", f"password = {MASK}"),
        ("mqtt.token: abc", f"mqtt.token: {MASK}"),
        (f'key = "{KEY}"', f'key = "{MASK}"'),
        *((path, path) for path in (f'bundle = "/{"srv/":x<{length}}"' for length in range(38, 43))),
        ("-----BEGIN PRIVATE KEY-----\nMC4CAQ\n-----END PRIVATE KEY-----", MASK),
        ("interval_s = 1.0\nbundle = 'har'", "interval_s = 1.0\nbundle = 'har'"),
    ],
)
def test_secrets_are_masked(text: str, expected: str) -> None:
    """Keys, passwords and tokens leave, everything else stays."""
    assert expected == masked(text)


def test_service_of_an_environment_starts_its_own_programs(tmp_path: Path) -> None:
    """The unit names this environment; a configuration that is there stays; a board gets its drop-in."""
    tree = tmp_path / "proc" / "device-tree"
    tree.mkdir(parents=True)
    (tree / "model").write_text("NVIDIA Jetson Orin Nano\0")
    config = tmp_path / "etc" / "adaspring" / "adaspringd.toml"
    install_files(tmp_path, Path("/srv/venv/bin"))
    config.write_text("# mine\n")
    install_files(tmp_path, Path("/srv/venv/bin"))
    unit = (tmp_path / "etc/systemd/system/adaspringd.service").read_text()
    assert "ExecStart=/srv/venv/bin/adaspringd --config /etc/adaspring/adaspringd.toml" in unit
    assert "/opt/adaspring" not in unit
    assert config.read_text() == "# mine\n"
    assert (tmp_path / "etc/systemd/system/adaspringd.service.d/jetson.conf").exists()
