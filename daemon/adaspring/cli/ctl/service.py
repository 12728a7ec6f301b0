"""``adaspringctl install-service``: the unit for an installation by pip."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from rich.console import Console

from adaspring.cli.ctl.command import Commands
from adaspring.errors import ConfigError
from adaspring.resources import resource

#: Where the Debian package puts the environment, as the units name it.
_PACKAGED = "/opt/adaspring/bin/"
#: Drop-ins for boards, by what their device tree calls them.
_BOARDS = {"Jetson": "jetson.conf", "Raspberry": "raspberry-pi.conf"}


def add_service(commands: Commands) -> None:
    """Add the command."""
    install = commands.add(
        "install-service", _install, "install the systemd service for this environment (root)", json=False
    )
    install.add_argument("--root", type=Path, default=Path("/"), help="install below this folder instead of /")


def _install(options: argparse.Namespace, console: Console) -> None:
    root: Path = options.root
    programs = Path(sys.executable).parent
    if not (programs / "adaspringd").exists():
        raise ConfigError(f"there is no adaspringd beside {sys.executable}; install AdaSpring into this environment")
    try:
        for path in install_files(root, programs):
            console.print(f"wrote {path}", soft_wrap=True)
    except OSError as error:
        raise ConfigError(f"cannot install below {root}: {error}; run it as root") from error
    if root == Path("/"):
        for command in (
            ["systemd-sysusers", "adaspring.conf"],
            ["journalctl", "--update-catalog"],
            ["systemctl", "daemon-reload"],
        ):
            subprocess.run(command, check=True)
    console.print("start it, now and at boot: systemctl enable --now adaspringd")


def install_files(root: Path, programs: Path) -> list[Path]:
    """Write unit, user, catalogue, example configuration and the board's drop-in; a configuration stays.

    Args:
        root: Written below it.
        programs: Folder of the programs of the environment.

    Returns:
        What was written.
    """
    units = root / "etc/systemd/system"
    written = []
    for name in ("adaspringd.service", "adaspringd-failed.service", "adaspringd.socket"):
        text = resource("deploy", "systemd", name).read_text(encoding="utf-8")
        written.append(_write(units / name, text.replace(_PACKAGED, f"{programs}/")))
    copies = {
        "etc/sysusers.d/adaspring.conf": ("sysusers.d", "adaspring.conf"),
        "etc/adaspring/adaspringd.toml": ("adaspringd.toml",),
        "usr/lib/systemd/catalog/adaspring.catalog": ("journal", "adaspring.catalog"),
    }
    board = _board(root)
    if board is not None:
        copies[f"etc/systemd/system/adaspringd.service.d/{board}"] = ("systemd", "drop-ins", board)
    for target, source in copies.items():
        if not (target.endswith(".toml") and (root / target).exists()):
            written.append(_write(root / target, resource("deploy", *source).read_text(encoding="utf-8")))
    return written


def _board(root: Path) -> str | None:
    try:
        model = (root / "proc/device-tree/model").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return next((name for word, name in _BOARDS.items() if word in model), None)


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path
