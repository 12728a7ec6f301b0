"""Latency of subnets on the machine at hand, in turn and under the measuring lock, and the energy modelled from it."""

from __future__ import annotations

import os
from time import perf_counter

import msgspec
import numpy as np
import numpy.typing as npt

from adaspring.boards.energy import frame_energy_mj
from adaspring.boards.profile import DeviceProfile, Figure
from adaspring.engine import Subnet
from adaspring.profile.machine import measuring
from adaspring.space import Genome, SearchSpace, lower, subnet_costs

Array = npt.NDArray[np.float64]

#: Bytes of one element, by precision.
ELEMENT_BYTES = {"float32": 4, "int8": 1}


class Machine(msgspec.Struct, frozen=True):
    """The machine while it was measured.

    Attributes:
        load_before: Load average before.
        load_after: Load average behind.
        runs: Timed runs of each subnet.
        repeat_error_percent: Median difference between both halves of the runs, at the 20th percentile.
    """

    load_before: float
    load_after: float
    runs: int
    repeat_error_percent: float


def time_in_turn(subnets: list[Subnet], shape: tuple[int, ...], runs: int) -> tuple[Array, Machine]:
    """Time single frames of some subnets while nobody else measures.

    Args:
        subnets: Ready to run.
        shape: Of a frame.
        runs: Rounds; every round runs each subnet once.

    Returns:
        Microseconds, shape ``(runs, subnets)``, and how the machine was.
    """
    with measuring():
        before = os.getloadavg()[0]
        elapsed_us = _interleaved(subnets, shape, runs)
        after = os.getloadavg()[0]
    halves = [np.percentile(half, 20.0, axis=0) for half in np.array_split(elapsed_us, 2)]
    error = float(100 * np.median(np.abs(halves[0] - halves[1]) / np.mean(halves, axis=0)))
    return elapsed_us, Machine(before, after, runs, error)


def moved_bytes(space: SearchSpace, genome: Genome) -> float:
    """Bytes of weights and activations that one frame moves."""
    traffic = sum(block.traffic_elements for block in lower(space, genome))
    return float(ELEMENT_BYTES[space.precision(genome)] * (subnet_costs(space, genome).parameters + traffic))


def energy_mj(board: DeviceProfile, latency_us: float, moved: float) -> float:
    """Modelled energy of a frame, at the coefficients' values."""
    return float(frame_energy_mj(board, np.array(latency_us), np.array(moved), np.array(0.0)))


def extremes(board: DeviceProfile) -> tuple[DeviceProfile, ...]:
    """The board at the corners of what its energy coefficients may really be."""
    idle, load, byte = board.power.idle_w, board.power.load_w, board.energy.byte_pj
    corners = []
    for added_w in {busy - rest for rest, busy in zip(_bounds(idle), _bounds(load), strict=True)}:
        for byte_pj in _bounds(byte):
            power = msgspec.structs.replace(board.power, load_w=_bound(idle.value + max(added_w, 0.1)))
            energy = msgspec.structs.replace(board.energy, byte_pj=_bound(byte_pj))
            corners.append(msgspec.structs.replace(board, power=power, energy=energy))
    return tuple(corners)


def _bounds(figure: Figure) -> tuple[float, float]:
    return figure.low or figure.value, figure.high or figure.value


def _bound(value: float) -> Figure:
    return Figure(value=value, source="a bound of the range that the profile states")


def _interleaved(subnets: list[Subnet], shape: tuple[int, ...], runs: int) -> Array:
    frame = np.random.default_rng(0).standard_normal((1, *shape), dtype=np.float32)
    elapsed_us = np.empty((runs, len(subnets)))
    for turn in range(-2, runs):
        for column, subnet in enumerate(subnets):
            # Caches and the clock are those of the subnet before: one run brings its own in.
            subnet.run(frame)
            started = perf_counter()
            subnet.run(frame)
            if turn >= 0:
                elapsed_us[turn, column] = (perf_counter() - started) * 1e6
    return elapsed_us
