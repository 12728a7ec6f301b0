from __future__ import annotations

import json
from pathlib import Path

import pytest

from adaspring.cli.adaspring import main
from adaspring.simulate import LiveTree, SimulatedDevice, load_board_tree, load_scenario


@pytest.fixture
def board(tmp_path: Path) -> str:
    """A Jetson in the morning."""
    LiveTree(tmp_path, board=load_board_tree("jetson-orin-nano")).write(SimulatedDevice(load_scenario()).state())
    return str(tmp_path)


def test_a_person_gets_a_table(board: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The board, what it senses with sources, and what it lacks can be read."""
    assert main(["doctor", "--sysroot", board]) == 0
    out = capsys.readouterr().out
    for told in ("Jetson Orin Nano", "temperature_c", "thermal_zone", "nvpmodel (MAXN_SUPER)", "VDD_IN", "engine"):
        assert told in out


def test_a_program_gets_json(board: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The same as one object."""
    assert main(["doctor", "--sysroot", board, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["profile"] == "jetson-orin-nano"
    assert {"temperature_c", "rails_power_w"} <= {sense["name"] for sense in told["sensors"] if sense["expected"]}


def test_this_device_can_be_looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a tree it is this machine."""
    assert main(["doctor", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["machine"]
