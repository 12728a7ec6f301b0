from __future__ import annotations

from pathlib import Path

import pytest

from adaspring.cli.adaspring import main


def test_a_hot_day_on_a_board_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A real daemon serves frames on the tree of a Raspberry Pi 4, is throttled at noon and compresses for it."""
    root = tmp_path / "board"
    assert main(["emulate", "raspberry-pi-4b", "--seconds", "8", "--root", str(root)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Raspberry Pi 4 Model B, Raspberry Pi OS 12, kernel 6.6.51+rpt-rpi-v8: A hot day")
    assert "modelled" in lines[1]
    throttled = [line for line in lines if " throttled " in line]
    assert throttled
    assert throttled[-1].split()[-1] != lines[2].split()[-1]
    assert (root / "sys/firmware/devicetree/base/model").read_text().startswith("Raspberry Pi 4")


def test_a_policy_can_be_tried(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The configuration of a person is the daemon's, but for the board."""
    config = tmp_path / "adaspringd.toml"
    config.write_text("[policy]\nlatency_p95_ms = 30\n")
    arguments = ["emulate", "librem5", "--scenario", "failing-sensors", "--seconds", "1", "--no-frames"]
    assert main([*arguments, "--config", str(config)]) == 0
    assert "Librem 5" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["raspberry-pi-44b"], "did you mean raspberry-pi-4b"),
        (["librem5", "--scenario", "hot-days"], "did you mean hot-day?"),
        (["librem5", "--config", "/nowhere.toml"], "/nowhere.toml: there is no such file"),
    ],
)
def test_a_mistake_is_told(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What is not there is named, with what was probably meant."""
    assert main(["emulate", *arguments]) == 1
    assert message in capsys.readouterr().err


def test_a_key_that_is_unknown_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A configuration is checked before anything starts."""
    config = tmp_path / "adaspringd.toml"
    config.write_text("[polcy]\n")
    assert main(["emulate", "librem5", "--config", str(config)]) == 1
    assert "did you mean policy?" in capsys.readouterr().err
