from __future__ import annotations

import stat
from pathlib import Path

import pytest

from adaspring.context import vcgencmd
from adaspring.context.raspberry_pi import FirmwareSensor, PmicSensor
from adaspring.context.sysroot import Sysroot
from adaspring.context.vcgencmd import LiveFirmware
from adaspring.errors import SensorError


def program(folder: Path, script: str) -> Path:
    """A program in the place of vcgencmd, which needs a Raspberry Pi."""
    path = folder / "vcgencmd"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_an_answer_is_passed_on(tmp_path: Path) -> None:
    """The question is its argument, the answer what it prints."""
    assert "get_throttled\n" == LiveFirmware(program(tmp_path, "echo $1")).ask("get_throttled")


# What vcgencmd prints where its device may not be opened differs by release.
@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("exit 3", "failed: status 3"),
        ("true", "failed: status 0"),
        ("echo 'VCHI initialization failed' >&2; exit 255", "is this user in the group video"),
        ('echo "Can\'t open device file: /dev/vcio"; exit 255', "is this user in the group video"),
    ],
)
def test_a_failure_is_a_reason(tmp_path: Path, script: str, reason: str) -> None:
    """Whatever it ends with, the reason says what it told, and what may help."""
    with pytest.raises(SensorError, match=reason):
        LiveFirmware(program(tmp_path, script)).ask("get_throttled")


def test_a_firmware_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process is ended after a while, so that none pile up."""
    monkeypatch.setattr(vcgencmd, "_TIMEOUT_S", 0.1)
    with pytest.raises(SensorError, match="has not answered for"):
        LiveFirmware(program(tmp_path, "exec sleep 60")).ask("get_throttled")


def test_a_program_that_is_not_there_or_none_is_a_reason(tmp_path: Path) -> None:
    """Neither a missing nor a broken program is an error of ours."""
    with pytest.raises(SensorError, match="is not there"):
        LiveFirmware(tmp_path / "none").ask("get_throttled")
    (tmp_path / "text").write_text("no program")
    with pytest.raises(SensorError, match="cannot be run"):
        LiveFirmware(tmp_path / "text").ask("get_throttled")


@pytest.mark.parametrize(("answer", "expected"), [("throttled=0x50005", 1.0), ("throttled=0x50000", 0.0), ("x", None)])
def test_the_word_is_asked_for_where_sysfs_lacks_it(tmp_path: Path, answer: str, expected: float | None) -> None:
    """On a Raspberry Pi whose kernel has no file the program is asked, and seldom."""
    base = tmp_path / "sys/firmware/devicetree/base"
    base.mkdir(parents=True)
    (base / "compatible").write_bytes(b"raspberrypi,4-model-b\0brcm,bcm2711\0")
    sensor = FirmwareSensor(Sysroot(tmp_path), LiveFirmware(program(tmp_path, f"echo {answer}")))
    sensor.discover()
    assert expected == sensor.read()["firmware_throttled"].value
    assert sensor.interval_s == vcgencmd.INTERVAL_S


def test_a_rail_without_its_other_half_counts_for_nothing(tmp_path: Path) -> None:
    """The 5 V input is measured without a current, so it adds no power; a negative current is refused."""
    base = tmp_path / "sys/firmware/devicetree/base"
    base.mkdir(parents=True)
    (base / "compatible").write_bytes(b"raspberrypi,5-model-b\0brcm,bcm2712\0")
    for core, expected in (("2.0", 1.6), ("-2.0", None)):
        lines = f"VDD_CORE_A current(7)={core}A\n VDD_CORE_V volt(15)=0.8V\n EXT5V_V volt(24)=5.0V"
        sensor = PmicSensor(Sysroot(tmp_path), LiveFirmware(program(tmp_path, f"cat <<'END'\n{lines}\nEND")))
        sensor.discover()
        assert pytest.approx(expected) == sensor.read()["pmic_power_w"].value
