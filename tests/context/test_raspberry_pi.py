from __future__ import annotations

from collections.abc import Callable

import pytest

from adaspring.context.model import Reading
from adaspring.context.raspberry_pi import FirmwareSensor
from adaspring.context.sysroot import Sysroot
from adaspring.context.vcgencmd import RecordedFirmware

Put = Callable[[str, str], None]
# Raspberry Pi OS, kernel 6.1: Raspberry Pi 4, and Raspberry Pi 5 with the address in the names.
PATHS = [
    "/sys/devices/platform/soc/soc:firmware/get_throttled",
    "/sys/devices/platform/soc@107c000000/soc@107c000000:firmware/get_throttled",
]


def sense(sysroot: Sysroot) -> Reading:
    """The reading of the tree."""
    sensor = FirmwareSensor(sysroot, RecordedFirmware(sysroot))
    sensor.discover()
    return sensor.read()["firmware_throttled"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0\n", 0.0),
        ("50000\n", 0.0),
        ("50005\n", 1.0),
        ("80008\n", 1.0),
        ("2\n", 1.0),
        ("100000000\n", None),
        ("x\n", None),
    ],
)
def test_the_bits_of_now_count(put: Put, sysroot: Sysroot, path: str, text: str, expected: float | None) -> None:
    """Bits 0 to 3 tell about now; what happened since boot does not."""
    put(path, text)
    assert (expected, path) == (sense(sysroot).value, sense(sysroot).source)


def test_other_boards_have_no_such_firmware(put: Put, sysroot: Sysroot) -> None:
    """Without the node the reading is absent."""
    put("/sys/devices/platform/soc/fe201000.serial/modalias", "x\n")
    assert "no Raspberry Pi firmware" in sense(sysroot).reason
