from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import pytest

from adaspring.app.doctor import Examination, examine
from adaspring.simulate import LiveTree, SimulatedDevice, board_trees, load_board_tree, load_scenario


def look_at(tree: str, root: Path, groups: frozenset[str] = frozenset()) -> Examination:
    """What the doctor says of a board."""
    LiveTree(root, board=load_board_tree(tree)).write(SimulatedDevice(load_scenario()).state())
    return examine(root, groups=groups)


def remedies(examination: Examination) -> dict[str, str]:
    """What can be done, by name."""
    return dict(examination.remedies)


@pytest.mark.parametrize("tree", board_trees())
def test_every_quantity_is_told_or_explained(tmp_path: Path, tree: str) -> None:
    """Of each quantity there is a value with its source, or a reason; the whole is JSON."""
    examination = look_at(tree, tmp_path)
    for sense in examination.sensors:
        assert (sense.value is None) == bool(sense.reason)
        assert sense.value is None or sense.source
    assert examination == msgspec.json.decode(msgspec.json.encode(examination), type=Examination)


def test_a_raspberry_pi_hears_what_to_add_to_its_command_line(tmp_path: Path) -> None:
    """Both kernel options that Raspberry Pi kernels switch off are named, with the file and the reboot."""
    examination = look_at("raspberry-pi-4b", tmp_path)
    assert (examination.profile, examination.model) == ("raspberry-pi-4b", "Raspberry Pi 4 Model B Rev 1.4")
    told = remedies(examination)
    assert "add psi=1 to the end of the one line in /boot/firmware/cmdline.txt" in told["memory_pressure_percent"]
    assert "cgroup_enable=memory" in told["memory control groups"]


def test_an_older_raspberry_pi_has_its_command_line_elsewhere(tmp_path: Path) -> None:
    """Before Raspberry Pi OS 12 the file lay in /boot."""
    (tmp_path / "boot").mkdir()
    (tmp_path / "boot/cmdline.txt").touch()
    assert " /boot/cmdline.txt" in remedies(look_at("raspberry-pi-3b-plus", tmp_path))["memory control groups"]


def test_what_is_switched_on_needs_no_remedy(tmp_path: Path) -> None:
    """A board with its options set hears nothing of them."""
    told = remedies(look_at("raspberry-pi-4b-ups", tmp_path, frozenset({"video"})))
    assert not told.keys() & {"memory control groups", "memory pressure (PSI)", "group video"}


def test_control_groups_of_version_two_are_seen(tmp_path: Path) -> None:
    """New kernels list the memory controller in the root of the hierarchy alone."""
    (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
    (tmp_path / "sys/fs/cgroup/cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    assert "memory control groups" not in remedies(look_at("jetson-agx-orin", tmp_path))


def test_the_group_of_the_firmware_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user outside the group video hears how to get in."""
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert "usermod -aG video" in remedies(look_at("raspberry-pi-4b", tmp_path))["group video"]


# What the client of jetson-stats raises (its jtop.py).
@pytest.mark.parametrize(
    ("message", "remedy"),
    [
        ("I can't access jtop.service.\\nPlease logout or reboot this board.", "usermod -aG jtop"),
        ("The jtop.service is not active. Please run:\\nsudo systemctl restart jtop.service", "systemctl restart"),
    ],
)
def test_what_keeps_jetson_stats_away_has_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, message: str, remedy: str
) -> None:
    """A user outside its group and a service that does not run hear what to do."""
    (tmp_path / "jtop.py").write_text(f'class jtop:\n    def start(self):\n        raise RuntimeError("{message}")\n')
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "jtop", raising=False)
    assert remedy in remedies(examine(Path("/"), profile="jetson-orin-nano"))["jetson_stats_power_w"]


def test_the_engine_that_follows_is_told(tmp_path: Path) -> None:
    """Of the libraries that are installed one is taken, and the doctor says which."""
    checks = {check.name: check for check in look_at("jetson-nano", tmp_path).checks}
    assert checks["engine"].good
    assert checks["engine"].found.startswith("onnxruntime (onnxruntime ")
