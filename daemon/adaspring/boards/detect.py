"""Which board this is, from what the firmware tells the kernel."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path

from adaspring.boards.files import load_profiles
from adaspring.boards.profile import DeviceProfile
from adaspring.errors import BoardError

_DEVICE_TREE = "sys/firmware/devicetree/base/model"
_DMI = ("sys/class/dmi/id/sys_vendor", "sys/class/dmi/id/product_name")


def detect(sysroot: Path, machine: str, *, folder: Path) -> DeviceProfile:
    """Find the profile of the board that a tree belongs to.

    The model in the device tree counts first, then vendor and product as DMI gives them,
    then the kind of machine alone.

    Args:
        sysroot: Root of the tree; ``/`` is this device.
        machine: Machine name as ``platform.machine()`` gives it, for example ``"aarch64"``.
        folder: Where the profiles lie.

    Raises:
        BoardError: If no profile fits even the machine, or a profile has a mistake.
    """
    profiles = load_profiles(folder)
    model = _text(sysroot / _DEVICE_TREE)
    product = " ".join(_text(sysroot / name) for name in _DMI)
    for profile in profiles:
        if any(fnmatchcase(model, pattern) for pattern in profile.match.device_tree):
            return profile
    for profile in profiles:
        if any(fnmatchcase(product, pattern) for pattern in profile.match.dmi):
            return profile
    for profile in profiles:
        if machine in profile.match.machines:
            return profile
    raise BoardError(
        f"no device profile in {folder} fits this board ({model or product.strip() or 'unnamed'}, machine {machine}): "
        "write one (a copy of a generic profile is a start) and name its path as device.profile"
    )


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError:
        return ""
    # Strings of a device tree end in a NUL.
    return content.rstrip(b"\0").decode("utf-8", errors="replace").strip()
