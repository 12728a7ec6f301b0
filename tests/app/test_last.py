from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from adaspring.app.last import LEAST_INTERVAL_S, NAME, LastDecisionKeeper, read_last


class Loop:
    """A control loop whose subnet the test sets."""

    subnet = "f32:c16"

    def status(self) -> Any:
        """The part of a status that is kept."""
        return SimpleNamespace(subnet=self.subnet, measured=SimpleNamespace(latency_p95_us=120.0))

    def start_over(self, why: str) -> None:
        """Nobody asks for it."""


def test_record_comes_back_with_its_clocks(tmp_path: Path) -> None:
    """Bundle, subnet and latency, dated by wall clock, boot and monotonic clock."""
    keeper = LastDecisionKeeper(tmp_path / "state", "digest", "boot", lambda: "now", clock=lambda: 5.0)
    keeper.observe(Loop())
    record = read_last(tmp_path / "state")
    assert record is not None
    assert ("digest", "f32:c16", 120.0) == (record.bundle, record.subnet, record.latency_p95_us)
    assert ("now", "boot", 5.0) == (record.at, record.boot_id, record.monotonic_s)


def test_an_hour_of_changes_is_a_bounded_number_of_writes(tmp_path: Path) -> None:
    """However often the subnet changes, less than 1 MB an hour is written; the last one is there in the end."""
    now_s = 0.0
    loop, written = Loop(), 0
    keeper = LastDecisionKeeper(tmp_path, "digest", "boot", lambda: "now", clock=lambda: now_s)
    for second in range(3600):
        now_s, loop.subnet = float(second), f"f32:c{second}"
        before = read_last(tmp_path)
        keeper.observe(loop)
        if read_last(tmp_path) != before:
            written += (tmp_path / NAME).stat().st_size
    keeper.close()
    assert written <= 1_000_000
    assert written >= 3600 / LEAST_INTERVAL_S
    record = read_last(tmp_path)
    assert record is not None
    assert record.subnet == "f32:c3599"


def test_folder_that_cannot_be_written_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A read-only or full disk: one line in the log, and serving goes on."""
    blocked = tmp_path / "state"
    blocked.write_text("a file where a folder should be")
    now_s = 0.0
    loop = Loop()
    keeper = LastDecisionKeeper(blocked, "digest", "boot", lambda: "now", clock=lambda: now_s)
    for _ in range(5):
        keeper.observe(loop)
        now_s += LEAST_INTERVAL_S
        loop.subnet += "."
    keeper.close()
    assert len([line for line in caplog.messages if "serving goes on" in line]) == 1


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b'{"bundle": 1}'])
def test_damaged_record_is_a_cold_start(tmp_path: Path, content: bytes) -> None:
    """What cannot be read is not there."""
    (tmp_path / NAME).write_bytes(content)
    assert read_last(tmp_path) is None
