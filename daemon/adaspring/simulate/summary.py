"""Several seeds of a replayed day, summed up: the daemon against its rivals."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from adaspring.simulate.lanes import Outcome
from adaspring.simulate.replay import Day


class Totals(msgspec.Struct, frozen=True):
    """What one way of choosing came to over all seeds.

    Attributes:
        violations: Frames late, under the accuracy floor or lost, in all.
        frames: Frames in all.
        mean_accuracy: Mean over the seeds, in percent.
        energy_mj: Mean of a day.
        hours: On battery, mean of a day.
        switches: Mean of a day.
        subnet: The subnet that was held, in text form; empty where it changed.
    """

    violations: int
    frames: int
    mean_accuracy: float
    energy_mj: float
    hours: float
    switches: float
    subnet: str = ""


class Comparison(msgspec.Struct, frozen=True):
    """The daemon against its rivals over some seeds.

    Attributes:
        adaptive: The daemon.
        best_static: Of the atlas, the subnet with the fewest violations, then the best accuracy.
        smallest_static: The subnet of the atlas that takes the least energy.
        oracle: Truth known at every step.
        regret_to_oracle_percent: Share of frames that the daemon violated and the oracle did not.
    """

    adaptive: Totals
    best_static: Totals
    smallest_static: Totals
    oracle: Totals
    regret_to_oracle_percent: float


def compare(days: Sequence[Day], smallest: str) -> Comparison:
    """Sum seeds up.

    Args:
        days: One for each seed, over the same atlas.
        smallest: Text form of the subnet of the atlas that takes the least energy.
    """
    statics = {name: _totals([day.statics[name] for day in days], name) for name in days[0].statics}
    adaptive, oracle = _totals([day.adaptive for day in days]), _totals([day.oracle for day in days])
    return Comparison(
        adaptive=adaptive,
        best_static=min(statics.values(), key=lambda totals: (totals.violations, -totals.mean_accuracy)),
        smallest_static=statics[smallest],
        oracle=oracle,
        regret_to_oracle_percent=round(100 * (adaptive.violations - oracle.violations) / max(1, adaptive.frames), 3),
    )


def _totals(outcomes: Sequence[Outcome], subnet: str = "") -> Totals:
    def mean(values: list[float]) -> float:
        return round(float(np.mean(values)), 2)

    return Totals(
        violations=round(sum(outcome.violations for outcome in outcomes)),
        frames=round(sum(outcome.frames for outcome in outcomes)),
        mean_accuracy=mean([outcome.mean_accuracy for outcome in outcomes]),
        energy_mj=mean([outcome.energy_mj for outcome in outcomes]),
        hours=mean([outcome.hours for outcome in outcomes]),
        switches=mean([float(outcome.switches) for outcome in outcomes]),
        subnet=subnet,
    )
