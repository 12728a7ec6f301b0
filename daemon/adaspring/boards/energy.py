"""Modelled energy of a frame: nothing here is measured."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from adaspring.boards.profile import DeviceProfile

Array = npt.NDArray[np.float64]


def frame_energy_mj(
    profile: DeviceProfile, latency_us: Array, parameter_bytes: Array, activation_bytes: Array
) -> Array:
    """Energy that one frame costs on top of an idle board, modelled from a profile.

    The power that a computing core adds, times the time that it computes, plus the bytes
    moved times the energy of a byte::

        (load_w - idle_w) * latency + (parameter_bytes + activation_bytes) * byte_pj

    The split into time at a power and traffic at an energy per byte follows M. Horowitz,
    "Computing's energy problem", ISSCC 2014, figure 1.1.9; that weights and
    activations count as main memory traffic although caches hold some of them is ours,
    and makes the figure an upper bound for traffic. It adds up along the slots where
    its arguments do, and any of them may be negative corrections of a fit.

    Args:
        profile: Of the board.
        latency_us: Time that the frame computes, in microseconds; any shape.
        parameter_bytes: Bytes of weights read; a shape that broadcasts with it.
        activation_bytes: Bytes of activations written and read; likewise.

    Returns:
        Millijoules, in the broadcast shape; infinite where an argument is.
    """
    busy_mj = (profile.power.load_w.value - profile.power.idle_w.value) * latency_us * 1e-3
    moved_mj = profile.energy.byte_pj.value * (parameter_bytes + activation_bytes) * 1e-9
    return np.asarray(busy_mj + moved_mj, dtype=np.float64)
