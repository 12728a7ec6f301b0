from __future__ import annotations

from pathlib import Path

import pytest

from adaspring.boards import detect
from adaspring.errors import BoardError


def put(root: Path, path: str, content: bytes) -> None:
    """Write a file of the tree."""
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)


# The strings are those of the boards' device trees (arch/arm64/boot/dts/broadcom of the kernel, with the
# revision that the firmware appends); the kernel keeps the NUL at their end.
@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (b"Raspberry Pi 4 Model B Rev 1.4\0", "raspberry-pi-4b"),
        (b"Raspberry Pi 400 Rev 1.0\0", "raspberry-pi-4b"),
        (b"Raspberry Pi Compute Module 4 Rev 1.1\0", "raspberry-pi-4b"),
        (b"Raspberry Pi 5 Model B Rev 1.0\0", "raspberry-pi-5"),
        (b"Raspberry Pi 500 Rev 1.0\0", "raspberry-pi-5"),
        (b"Purism Librem 5r4\0", "librem5"),
        (b"\xff\xfe\0", "generic-aarch64"),
    ],
)
def test_the_device_tree_names_the_board(tmp_path: Path, profiles: Path, model: bytes, expected: str) -> None:
    """A known model gives its profile, any other the generic one of the machine."""
    put(tmp_path, "sys/firmware/devicetree/base/model", model)
    assert expected == detect(tmp_path, "aarch64", folder=profiles).name


def test_dmi_names_a_board_without_device_tree(tmp_path: Path, profiles: Path) -> None:
    """A board that boots through UEFI names itself in DMI (Documentation/ABI/testing/sysfs-class-dmi)."""
    put(tmp_path, "sys/class/dmi/id/sys_vendor", b"Raspberry Pi Ltd\n")
    put(tmp_path, "sys/class/dmi/id/product_name", b"Raspberry Pi 5 Model B Rev 1.0\n")
    assert detect(tmp_path, "aarch64", folder=profiles).name == "raspberry-pi-5"


@pytest.mark.parametrize(
    ("machine", "expected"),
    [("x86_64", "generic-x86_64"), ("aarch64", "generic-aarch64"), ("arm64", "generic-aarch64")],
)
def test_an_unknown_board_gets_the_profile_of_its_machine(
    tmp_path: Path, profiles: Path, machine: str, expected: str
) -> None:
    """Where the firmware says nothing, the machine decides."""
    assert expected == detect(tmp_path, machine, folder=profiles).name


def test_an_unknown_machine_is_told_what_to_do(tmp_path: Path, profiles: Path) -> None:
    """Without any profile the error names the machine and the key to set."""
    with pytest.raises(BoardError, match=r"machine riscv64.*device\.profile"):
        detect(tmp_path, "riscv64", folder=profiles)
