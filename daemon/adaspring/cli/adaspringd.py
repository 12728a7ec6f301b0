"""``adaspringd``: the daemon."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from pathlib import Path

import msgspec

import adaspring
from adaspring.app.config import Config, load_config
from adaspring.app.daemon import run_daemon
from adaspring.app.journal import configure_logging
from adaspring.app.messages import Message, told
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
        After a reload it does not return: the process begins again.
    """
    # It asks for a reload once the daemon serves; before that, and between two lives, it asks for nothing.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    options = build_parser().parse_args(arguments)
    configure_logging(level=logging.DEBUG if options.verbose else logging.INFO)
    try:
        again = run_daemon(_configuration(options), os.environ, reread=lambda: _configuration(options))
    except (ConfigError, BundleError, SpaceError, BoardError, EngineMissingError, AlreadyRunningError) as error:
        _log.critical("%s", error, extra=told(Message.CONFIGURATION_WRONG))
        return EXIT_CONFIG
    except AdaSpringError as error:
        _log.critical("%s", error, extra=told(Message.FAILED))
        return 1
    if again:
        # The same process for the service manager, and nothing of the old life for us.
        command = [sys.executable, "-m", "adaspring.cli.adaspringd"]
        command += sys.argv[1:] if arguments is None else arguments
        os.execv(sys.executable, command)  # noqa: S606 - no shell is wanted
    return 0


def _configuration(options: argparse.Namespace) -> Config:
    config = load_config(options.config) if options.config else Config()
    if options.sysroot:
        monitor = msgspec.structs.replace(config.monitor, sysroot=options.sysroot)
        config = msgspec.structs.replace(config, monitor=monitor)
    return config


def build_parser() -> argparse.ArgumentParser:
    """The parser of every command; manual page and completion are made from it too."""
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
