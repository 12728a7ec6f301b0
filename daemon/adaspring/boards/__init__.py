"""Device profiles: what a board is, what it draws, how hot it may get, and which board this is."""

from adaspring.boards.detect import detect
from adaspring.boards.energy import frame_energy_mj
from adaspring.boards.files import load_profile, load_profiles
from adaspring.boards.profile import (
    Cache,
    DeviceProfile,
    Energy,
    Figure,
    Match,
    Memory,
    Power,
    Processor,
    Roofline,
    Sensing,
    Thermal,
)
from adaspring.boards.roofline import roofline_latency

__all__ = [
    "Cache",
    "DeviceProfile",
    "Energy",
    "Figure",
    "Match",
    "Memory",
    "Power",
    "Processor",
    "Roofline",
    "Sensing",
    "Thermal",
    "detect",
    "frame_energy_mj",
    "load_profile",
    "load_profiles",
    "roofline_latency",
]
