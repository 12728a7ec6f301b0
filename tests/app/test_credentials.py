"""Keys that the service manager hands over, and keys in files."""

from __future__ import annotations

from pathlib import Path

import pytest

from adaspring.app import credentials
from adaspring.app.config import ServeConfig
from adaspring.app.credentials import is_credential, key_file, key_files
from adaspring.app.network import tcp_keys
from adaspring.client.curve import create_keys
from adaspring.errors import ConfigError


@pytest.fixture
def handed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a unit gets that loads a key and a folder of keys, as systemd 252 names them; open to a group."""
    folder = tmp_path / "credentials"
    folder.mkdir()
    for name in ("daemon", "laptop", "phone"):
        create_keys(tmp_path, name)
    (folder / "daemon.key_secret").write_bytes((tmp_path / "daemon.key_secret").read_bytes())
    (folder / "daemon.key_secret").chmod(0o440)
    for name in ("laptop", "phone"):
        (folder / f"clients_{name}.key").write_bytes((tmp_path / f"{name}.key").read_bytes())
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    return folder


def test_a_name_is_a_credential_and_a_path_a_file(handed: Path, tmp_path: Path) -> None:
    """With a slash it is the file that it says, even where a credential has that name."""
    assert handed / "daemon.key_secret" == key_file("daemon.key_secret")
    assert Path(f"{tmp_path}/daemon.key_secret") == key_file(f"{tmp_path}/daemon.key_secret")
    assert Path("none.pub") == key_file("none.pub")
    assert [handed / "clients_laptop.key", handed / "clients_phone.key"] == key_files("clients")
    assert ["daemon.key", "laptop.key", "phone.key"] == [path.name for path in key_files(str(tmp_path))]


def test_tcp_takes_credentials(handed: Path) -> None:
    """The secret may then show a group's mode, which stands for the list that lets the daemon in."""
    config = ServeConfig(
        tcp="tcp://127.0.0.1:1",
        curve_secret="daemon.key_secret",  # noqa: S106 - a name
        curve_clients="clients",
    )
    keys = tcp_keys(config)
    assert keys is not None
    assert 2 == len(keys.clients)
    assert keys.secret not in keys.clients
    (handed / "clients_laptop.key").unlink()
    (handed / "clients_phone.key").unlink()
    with pytest.raises(ConfigError, match="nobody could connect"):
        tcp_keys(config)


@pytest.mark.usefixtures("handed")
def test_a_file_of_that_mode_is_refused(tmp_path: Path) -> None:
    """What the service manager does not guard must be closed by its mode."""
    (tmp_path / "daemon.key_secret").chmod(0o440)
    config = ServeConfig(
        tcp="tcp://127.0.0.1:1", curve_secret=str(tmp_path / "daemon.key_secret"), curve_clients="clients"
    )
    assert not is_credential(key_file(config.curve_secret))
    with pytest.raises(ConfigError, match="chmod 600"):
        tcp_keys(config)


def test_commands_find_what_the_unit_got(handed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside the unit there is no variable; its credentials lie where the service manager keeps them."""
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    monkeypatch.setattr(credentials, "UNIT_CREDENTIALS", handed)
    assert is_credential(key_file("daemon.key_secret"))
