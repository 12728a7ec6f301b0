"""Which configuration a command reads: the one that is named, else the daemon's."""

from __future__ import annotations

import argparse
from pathlib import Path

#: Where the packages put the configuration.
CONFIG = Path("/etc/adaspring/adaspringd.toml")


def add_config(parser: argparse.ArgumentParser) -> None:
    """Give a command ``--config``."""
    parser.add_argument("--config", type=Path, help=f"configuration (default: {CONFIG} where it is there)")


def config_path(options: argparse.Namespace) -> Path | None:
    """The configuration's file; None where defaults apply."""
    path: Path | None = options.config
    return path or (CONFIG if CONFIG.exists() else None)
