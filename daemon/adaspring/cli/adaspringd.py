"""``adaspringd``: the daemon."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path

import msgspec

import adaspring
from adaspring.app.config import Config, load_config
from adaspring.app.daemon import run_daemon
from adaspring.app.journal import configure_logging
from adaspring.errors import (
    AdaSpringError,
    AlreadyRunningError,
    BoardError,
    BundleError,
    ConfigError,
    EngineMissingError,
    SpaceError,
)

#: EX_CONFIG of sysexits.h: a person must mend something, so starting again is of no use
#: (``RestartPreventExitStatus=78`` in the unit).
EXIT_CONFIG = 78

_log = logging.getLogger("adaspring")


def main(arguments: list[str] | None = None) -> int:
    """Run the daemon until it is told to stop.

    Returns:
        0 after SIGTERM or SIGINT, 78 where a person must mend something, 1 on a failure.
    """
    options = _parser().parse_args(arguments)
    configure_logging(level=logging.DEBUG if options.verbose else logging.INFO)
    try:
        config = load_config(options.config) if options.config else Config()
        if options.sysroot:
            monitor = msgspec.structs.replace(config.monitor, sysroot=options.sysroot)
            config = msgspec.structs.replace(config, monitor=monitor)
        run_daemon(config, os.environ)
    except (ConfigError, BundleError, SpaceError, BoardError, EngineMissingError, AlreadyRunningError) as error:
        _log.critical("%s", error)
        return EXIT_CONFIG
    except AdaSpringError as error:
        _log.critical("%s", error)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="adaspringd", description="Serve frames with a network that adapts to its device."
    )
    parser.add_argument("--config", type=Path, help="configuration file (TOML); defaults apply without one")
    parser.add_argument("--sysroot", help="read sensors below this folder instead of / (replays a board)")
    parser.add_argument("--verbose", action="store_true", help="log at level DEBUG")
    parser.add_argument("--version", action="version", version=f"adaspringd {adaspring.__version__}")
    return parser


if __name__ == "__main__":
    sys.exit(main())
