"""Ratios against each hand-crafted baseline: ours that matches its accuracy, how much quicker, how much less energy."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from adaspring.boards.profile import DeviceProfile
from adaspring.workbench.baselines.comparison import Measured
from adaspring.workbench.timing import energy_mj, extremes

#: Points of validation accuracy by which ours may fall short of a baseline that it is held against.
TOLERANCE_POINTS = 0.5

#: Draws of the bootstrap over test rows.
DRAWS = 2000


class Pair(msgspec.Struct, frozen=True):
    """A baseline and the fastest subnet of ours whose validation accuracy matches it.

    Attributes:
        baseline: Title of the baseline.
        subnet: Text form of ours.
        accuracy_delta_points: Ours minus the baseline's, on test rows.
        interval_points: Its 95 % interval, by a bootstrap over the rows that both answered.
        latency_ratio: The baseline's median over ours.
        energy_ratio: The same of modelled energy.
        energy_ratio_range: Least and greatest at the bounds of the energy coefficients.
    """

    baseline: str
    subnet: str
    accuracy_delta_points: float
    interval_points: tuple[float, float]
    latency_ratio: float
    energy_ratio: float
    energy_ratio_range: tuple[float, float]


def pairs(measured: list[Measured], board: DeviceProfile, *, own_precision: bool) -> tuple[list[Pair], list[str]]:
    """Match every hand-crafted baseline.

    Args:
        measured: All entrants.
        board: Whose energy coefficients count.
        own_precision: Whether ours may be in any precision, the baseline staying in float32.

    Returns:
        The pairs, and the titles of baselines that nothing of ours matches.
    """
    ours = [one for one in measured if one.row.kind == "ours" and (own_precision or one.row.precision == "float32")]
    found, unmatched = [], []
    for baseline in (one for one in measured if one.row.kind == "hand-crafted"):
        least = baseline.row.validation_percent - TOLERANCE_POINTS
        able = [one for one in ours if one.row.validation_percent >= least]
        if able:
            found.append(_pair(baseline, min(able, key=lambda one: one.row.latency_us), board))
        else:
            unmatched.append(baseline.row.title)
    return found, unmatched


def headline(measured: list[Measured], board: DeviceProfile) -> dict[str, Any]:
    """The figures of one task; geometric means are over the baselines that are matched, the others are named."""
    figures: dict[str, Any] = {}
    for suffix, own in (("", False), ("_own_precision", True)):
        found, unmatched = pairs(measured, board, own_precision=own)
        for name in ("latency_ratio", "energy_ratio"):
            ratios = [float(getattr(pair, name)) for pair in found]
            figures[f"{name}_best{suffix}"] = max(ratios, default=None)
            mean = float(np.exp(np.mean(np.log(ratios)))) if ratios else None
            figures[f"{name}_geomean{suffix}"] = mean
        figures[f"pairs{suffix}"] = [msgspec.to_builtins(pair) for pair in found]
        figures[f"unmatched{suffix}"] = unmatched
    return figures


def _pair(baseline: Measured, ours: Measured, board: DeviceProfile) -> Pair:
    delta = 100.0 * (ours.test.astype(np.float64) - baseline.test.astype(np.float64))
    draws = np.random.default_rng(0).integers(0, len(delta), (DRAWS, len(delta)))
    low, high = np.percentile(delta[draws].mean(axis=1), [2.5, 97.5])
    ratios = [_energy_ratio(baseline, ours, corner) for corner in extremes(board)]
    return Pair(
        baseline=baseline.row.title,
        subnet=ours.row.subnet,
        accuracy_delta_points=float(delta.mean()),
        interval_points=(float(low), float(high)),
        latency_ratio=baseline.row.latency_us / ours.row.latency_us,
        energy_ratio=_energy_ratio(baseline, ours, board),
        energy_ratio_range=(min(ratios), max(ratios)),
    )


def _energy_ratio(baseline: Measured, ours: Measured, board: DeviceProfile) -> float:
    first, second = (energy_mj(board, one.row.latency_us, one.moved_bytes) for one in (baseline, ours))
    return first / second
