from __future__ import annotations

import sys
from pathlib import Path

import pytest

from adaspring.context.jetson_stats import JetsonStatsSensor

# The total as `jtop.power` gives it, in milliwatts (rnext.it/jetson_stats/reference/jtop.html).
POWER = {"rail": {"VDD_CPU": {"power": 900}}, "tot": {"power": 5230, "avg": 5200, "name": "VDD_IN"}}


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of the name of jetson-stats, which needs a Jetson; the test writes what it does."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "jtop", raising=False)
    return tmp_path / "jtop.py"


def service(start: str, power: str, ok: str = "return True") -> str:
    """Source of the package: a thread with a ``start``, a ``power``, and whether it still hears its service."""
    return (
        "import threading\n"
        "class jtop(threading.Thread):\n"
        f"    def start(self):\n        {start}\n"
        f"    def ok(self):\n        {ok}\n"
        f"    @property\n    def power(self):\n        {power}\n"
    )


def test_total_power_is_read(library: Path) -> None:
    """The total of all rails comes out in watts, and the thread does not keep the process."""
    library.write_text(service("assert self.daemon", f"return {POWER!r}"))
    sensor = JetsonStatsSensor(live=True)
    sensor.discover()
    reading = sensor.read()["jetson_stats_power_w"]
    assert pytest.approx(5.23) == reading.value
    assert reading.source == "jetson-stats"


@pytest.mark.parametrize(
    ("start", "power", "reason"),
    [
        ("raise OSError('The jtop.service is not active')", "return {}", "OSError: The jtop.service is not active"),
        ("raise ValueError('Mismatch of Python versions')", "return {}", "ValueError: Mismatch"),
        ("pass", "return {}", "KeyError: 'tot'"),
        ("pass", "raise EOFError('service went away')", "EOFError: service went away"),
        ("pass", "return {'tot': {'power': -256000}}", "-256, which cannot be"),
    ],
)
def test_every_failure_is_a_reason(library: Path, start: str, power: str, reason: str) -> None:
    """Whatever the library raises, the reading is absent and says why."""
    library.write_text(service(start, power))
    sensor = JetsonStatsSensor(live=True)
    sensor.discover()
    reading = sensor.read()["jetson_stats_power_w"]
    assert reading.value is None
    assert reason in reading.reason


@pytest.mark.parametrize(
    ("ok", "reason"),
    [("return False", "sends nothing any more"), ("raise EOFError('connection lost')", "EOFError: connection lost")],
)
def test_what_was_heard_before_the_service_went_is_not_believed(library: Path, ok: str, reason: str) -> None:
    """The library keeps the last figures when the connection is lost; the sensor does not."""
    library.write_text(service("pass", f"return {POWER!r}", ok))
    sensor = JetsonStatsSensor(live=True)
    sensor.discover()
    reading = sensor.read()["jetson_stats_power_w"]
    assert reading.value is None
    assert reason in reading.reason


def test_a_service_that_went_away_is_found_again(library: Path) -> None:
    """After a failure the next discovery connects anew."""
    library.write_text(
        service("pass", f"import os; return {POWER!r} if os.path.exists({str(library.parent / 'up')!r}) else None")
    )
    sensor = JetsonStatsSensor(live=True)
    sensor.discover()
    assert sensor.read()["jetson_stats_power_w"].value is None
    (library.parent / "up").touch()
    sensor.discover()
    assert sensor.read()["jetson_stats_power_w"].value is not None


def test_it_is_not_asked_about_another_device(library: Path) -> None:
    """In a tree that stands for another board, the library of this one is not even imported."""
    library.write_text("raise SystemExit('imported')")
    sensor = JetsonStatsSensor(live=False)
    sensor.discover()
    assert "another is read" in sensor.read()["jetson_stats_power_w"].reason


def test_absent_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without jetson-stats the reason names the extra."""
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.delitem(sys.modules, "jtop", raising=False)
    sensor = JetsonStatsSensor(live=True)
    sensor.discover()
    assert "pip install adaspring[jetson]" in sensor.read()["jetson_stats_power_w"].reason
