from __future__ import annotations

import logging
import sys
from collections.abc import Iterator

import pytest

from adaspring.app.journal import configure_logging


@pytest.fixture(autouse=True)
def own_logging() -> Iterator[None]:
    """Gives the root logger back as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.parametrize("environment", [{}, {"JOURNAL_STREAM": ""}, {"JOURNAL_STREAM": "8:1234"}])
def test_lines_go_to_standard_error(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With time, level and origin; also under systemd, where its library is not installed."""
    monkeypatch.setitem(sys.modules, "systemd.journal", None)
    configure_logging(environment)
    logging.getLogger("adaspring.app").info("serving on %s", "here")
    logging.getLogger("adaspring.app").debug("too fine")
    line = capsys.readouterr().err
    assert line.endswith(" INFO adaspring.app: serving on here\n")


def test_configuring_again_does_not_double_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """The handlers that were there are replaced; a finer level shows more."""
    configure_logging({})
    configure_logging({}, logging.DEBUG)
    logging.getLogger("adaspring.app").debug("fine")
    assert capsys.readouterr().err.count("fine") == 1


def test_journal_is_used_where_it_is() -> None:
    """Under systemd, with its library installed, lines keep their level and fields."""
    journal = pytest.importorskip("systemd.journal", reason="systemd-python is not installed", exc_type=ImportError)
    configure_logging({"JOURNAL_STREAM": "8:1234"})
    assert isinstance(logging.getLogger().handlers[0], journal.JournalHandler)
