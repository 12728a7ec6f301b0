"""Chips of the hwmon class, found by the name that their driver gives them.

Format: Documentation/hwmon/sysfs-interface.rst of the kernel; voltages are in millivolts,
currents in milliamperes, power in microwatts.
"""

from __future__ import annotations

from collections.abc import Collection

from adaspring.context.sysroot import Sysroot
from adaspring.errors import SensorError

HWMON = "/sys/class/hwmon"


def chips(sysroot: Sysroot, names: Collection[str], folder: str = HWMON, pattern: str = "hwmon*") -> list[str]:
    """Folders of the chips of these names.

    Args:
        sysroot: The tree.
        names: As their ``name`` says.
        folder: Class or bus to look in.
        pattern: Of its entries.
    """
    found = []
    for path in sysroot.entries(folder, pattern):
        try:
            name = sysroot.text(f"{path}/name")
        except SensorError:
            continue
        if name in names:
            found.append(path)
    return found
