"""Where log lines go: the journal where there is one, standard error elsewhere."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from importlib import import_module


def configure_logging(environment: Mapping[str, str] = os.environ, level: int = logging.INFO) -> None:
    """Send all log lines to the journal (systemd-python, if installed) or to standard error."""
    root = logging.getLogger()
    root.handlers[:] = [_journal_handler(environment) or _stream_handler()]
    root.setLevel(level)


def _journal_handler(environment: Mapping[str, str]) -> logging.Handler | None:
    # systemd sets JOURNAL_STREAM where standard error goes to the journal.
    if not environment.get("JOURNAL_STREAM"):
        return None
    try:
        handler: logging.Handler = import_module("systemd.journal").JournalHandler(SYSLOG_IDENTIFIER="adaspringd")
    except (ImportError, OSError):
        return None
    return handler


def _stream_handler() -> logging.Handler:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    return handler
