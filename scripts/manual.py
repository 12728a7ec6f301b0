"""Make manual pages and shell completion from the parsers of the command line.

``man/adaspringctl.1`` and so on, ``completion/bash/…``, ``completion/zsh/…`` below ``--output``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import shtab

import adaspring
from adaspring.cli import adaspring as workbench
from adaspring.cli import adaspringctl, adaspringd

#: Every command with its parser and the section of the manual it belongs in.
COMMANDS: dict[str, tuple[Callable[[], argparse.ArgumentParser], int]] = {
    "adaspring": (workbench.build_parser, 1),
    "adaspringctl": (adaspringctl.build_parser, 1),
    "adaspringd": (adaspringd.build_parser, 8),
}

#: The tool has a function for its command, but no module to run.
RUN = "from argparse_manpage.cli import main; main()"


def manual_page(name: str) -> str:
    """The manual page of a command, in troff."""
    make, section = COMMANDS[name]
    command = [sys.executable, "-c", RUN, "--module", make.__module__, "--function", make.__name__]
    command += ["--prog", name, "--manual-section", str(section), "--project-name", "AdaSpring"]
    command += ["--version", adaspring.__version__, "--description", make().description or name]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def write(output: Path) -> None:
    """Write every page and completion below a folder."""
    for name, (make, section) in COMMANDS.items():
        page = output / "man" / f"{name}.{section}"
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(manual_page(name), encoding="utf-8")
        for shell, file in (("bash", name), ("zsh", f"_{name}")):
            completion = output / "completion" / shell / file
            completion.parent.mkdir(parents=True, exist_ok=True)
            completion.write_text(shtab.complete(make(), shell=shell), encoding="utf-8")


def main() -> None:
    """Write to ``--output``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True, help="folder to write to")
    write(parser.parse_args().output)


if __name__ == "__main__":
    main()
