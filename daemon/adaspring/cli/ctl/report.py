"""``adaspringctl report``: what a person far away needs to look into a device, in one archive without secrets."""

from __future__ import annotations

import argparse
import io
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from importlib.metadata import distributions
from pathlib import Path

import msgspec
from rich.console import Console

from adaspring.app.config import Config, load_config, state_folder
from adaspring.app.locate import bundle_store
from adaspring.cli.ctl.command import Commands, call
from adaspring.cli.ctl.config_path import add_config, config_path
from adaspring.errors import AdaSpringError, ConfigError

#: Lines of the journal that are taken.
JOURNAL_LINES = 5000
#: Values of keys that sound like these, and whatever looks like a key, are masked; a path as long as a key is none.
_SECRETS = re.compile(
    r"""(?ix)
    (?P<key> \b[\w.-]*(?:password|passwd|secret|token|credential|private)[\w.-]* \s*[=:]\s* ) \S[^\n]*
    | (?P<pem> -----BEGIN\ [A-Z\ ]*PRIVATE\ KEY-----.*?-----END\ [A-Z\ ]*PRIVATE\ KEY----- )
    | (?P<z85> (?<![0-9A-Za-z./-]) (?!/[\w./-]{39}["'\s]) [0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$\#]{40} (?=["'\s]|$) )
    """,
    re.DOTALL,
)
MASK = "(masked)"


def add_report(commands: Commands) -> None:
    """Add the command."""
    report = commands.add("report", _report, "collect what is needed to look into a device; secrets masked", json=False)
    add_config(report)
    report.add_argument("--output", type=Path, help="archive to write (default: adaspring-report-TIME.tar.gz here)")


def masked(text: str) -> str:
    """A text without passwords, tokens and keys."""
    return _SECRETS.sub(lambda found: (found["key"] or "") + MASK, text)


def _report(options: argparse.Namespace, console: Console) -> None:
    path = options.output or Path(time.strftime("adaspring-report-%Y%m%dT%H%M%S.tar.gz"))
    parts: dict[str, Callable[[], str]] = {
        "status.json": lambda: _asked(options, "status"),
        "decisions.json": lambda: _asked(options, "decisions"),
        "events.json": lambda: _asked(options, "snapshot"),
        "adaspringd.toml": lambda: _configuration(options),
        "bundles.txt": lambda: _bundles(options),
        "system.txt": _system,
        "packages.txt": lambda: "\n".join(sorted(f"{each.name} {each.version}" for each in distributions())),
        "unit.txt": lambda: _printed("systemctl", "status", "--no-pager", "--full", "adaspringd"),
        "journal.txt": lambda: _printed(
            "journalctl", "--unit=adaspringd", "--no-pager", f"--lines={JOURNAL_LINES}", "--output=short-iso-precise"
        ),
    }
    try:
        with tarfile.open(path, "w:gz") as archive:
            for name, collect in parts.items():
                _add(archive, name, masked(collect()))
    except OSError as error:
        raise ConfigError(f"the report cannot be written to {path}: {error.strerror}") from error
    console.print(f"wrote {path}", soft_wrap=True)


def _add(archive: tarfile.TarFile, name: str, text: str) -> None:
    content = text.encode()
    member = tarfile.TarInfo(f"adaspring-report/{name}")
    member.size = len(content)
    member.mtime = int(time.time())
    archive.addfile(member, io.BytesIO(content))


def _asked(options: argparse.Namespace, command: str) -> str:
    # A daemon that is down is what most reports are about.
    try:
        return msgspec.json.format(msgspec.json.encode(call(options, command)), indent=2).decode()
    except AdaSpringError as error:
        return f"not available: {error}"


def _configuration(options: argparse.Namespace) -> str:
    path = config_path(options)
    try:
        return path.read_text(encoding="utf-8") if path else "none: defaults apply"
    except (OSError, UnicodeDecodeError) as error:
        return f"not available: {error}"


def _bundles(options: argparse.Namespace) -> str:
    try:
        path = config_path(options)
        config = load_config(path) if path else Config()
        return "\n".join(_installed(model.bundle, state_folder(config)) for model in config.served)
    except (AdaSpringError, OSError) as error:
        return f"not available: {error}"


def _installed(name: str, state: Path) -> str:
    store = bundle_store(name, state)
    return f"{name}: {store.pointer()}\n{store.versions()}" if store else f"configured by path: {name}"


def _system() -> str:
    facts = [f"{platform.platform()}\nPython {sys.version}"]
    for name in ("/etc/os-release", "/proc/device-tree/model", "/proc/meminfo", "/proc/loadavg", "/proc/mounts"):
        try:
            facts.append(f"{name}\n{Path(name).read_text(encoding='utf-8', errors='replace')}")
        except OSError as error:  # noqa: PERF203 - each is of use without the others
            facts.append(f"{name}\nnot available: {error.strerror}")
    return "\n\n".join(facts)


def _printed(tool: str, *arguments: str) -> str:
    found = shutil.which(tool)
    if found is None:
        return f"not available: there is no {tool} here"
    try:
        result = subprocess.run(
            [found, *arguments], check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"not available: {error}"
    return result.stdout.decode(errors="replace")
