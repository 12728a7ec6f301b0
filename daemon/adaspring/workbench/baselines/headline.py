"""Ratios against each hand-crafted baseline: ours that matches its accuracy, how much quicker, how much less energy.

A baseline that nothing of ours matches is named, and is not dropped from the means: it counts with what our most
accurate subnet would give, and never with more than 1, for what is cheaper and worse is no gain.
"""

from __future__ import annotations

from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of holding ours against all hand-crafted baselines.

    Attributes:
        pairs: Baselines that something of ours matches.
        unmatched: Titles of the others.
        latency_ratios: One for each baseline, matched or not.
        energy_ratios: The same of modelled energy.
    """

    pairs: list[Pair]
    unmatched: list[str]
    latency_ratios: list[float]
    energy_ratios: list[float]


def verdict(measured: list[Measured], board: DeviceProfile, *, own_precision: bool) -> Verdict:
    """Match every hand-crafted baseline.

    Args:
        measured: All entrants.
        board: Whose energy coefficients count.
        own_precision: Whether ours may be in any precision, the baseline staying in float32.
    """
    ours = [one for one in measured if one.row.kind == "ours" and (own_precision or one.row.precision == "float32")]
    found, unmatched = [], []
    latency_ratios, energy_ratios = [], []
    for baseline in (one for one in measured if one.row.kind == "hand-crafted"):
        least = baseline.row.validation_percent - TOLERANCE_POINTS
        able = [one for one in ours if one.row.validation_percent >= least]
        if able:
            pair = _pair(baseline, min(able, key=lambda one: one.row.latency_us), board)
            found.append(pair)
            latency_ratios.append(pair.latency_ratio)
            energy_ratios.append(pair.energy_ratio)
        else:
            unmatched.append(baseline.row.title)
            nearest = max(ours, key=lambda one: one.row.validation_percent)
            latency_ratios.append(min(1.0, baseline.row.latency_us / nearest.row.latency_us))
            energy_ratios.append(min(1.0, _energy_ratio(baseline, nearest, board)))
    return Verdict(found, unmatched, latency_ratios, energy_ratios)


def headline(measured: list[Measured], board: DeviceProfile) -> dict[str, Any]:
    """The figures of one task; the best are over the baselines that are matched, geometric means over all."""
    figures: dict[str, Any] = {}
    for suffix, own in (("", False), ("_own_precision", True)):
        found = verdict(measured, board, own_precision=own)
        for name, ratios in (("latency_ratio", found.latency_ratios), ("energy_ratio", found.energy_ratios)):
            best = max((float(getattr(pair, name)) for pair in found.pairs), default=None)
            figures[f"{name}_best{suffix}"] = best
            figures[f"{name}_geomean{suffix}"] = float(np.exp(np.mean(np.log(ratios)))) if ratios else None
        figures[f"pairs{suffix}"] = [msgspec.to_builtins(pair) for pair in found.pairs]
        figures[f"unmatched{suffix}"] = found.unmatched
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
