"""Predicted against measured latency of subnets that the tables have not seen."""

from __future__ import annotations

import numpy as np

from adaspring.app.locate import find_board, find_tables
from adaspring.engine import make_engine
from adaspring.profile import measuring, time_all
from adaspring.profile.profiler import RUNS
from adaspring.tables import kendall_tau
from benchmarks.harness import board, finish, har, state

SUBNETS = 200
#: Another seed than the profiler's: none of these was fitted to.
SEED = 20_000


def main() -> None:
    """Time random subnets twice and hold the tables against the first time."""
    bundle = har()
    engine = make_engine("onnxruntime", bundle)
    folder = state()
    tables = find_tables(bundle, find_board(board(), folder), engine, folder)
    genomes = bundle.space.random(np.random.default_rng(SEED), SUBNETS)
    shape = bundle.manifest.input.shape
    with measuring():
        first, again = (
            np.concatenate([timings.low_us for timings in time_all(engine, genomes, shape, runs=RUNS)])
            for _ in range(2)
        )
    predicted = tables.latency_us.evaluate(bundle.space, genomes)
    finish(
        {
            "mape_percent": round(float(100 * np.mean(np.abs(predicted - first) / first)), 2),
            "kendall_tau": round(kendall_tau(predicted, first), 4),
            "repeat_mape_percent": round(float(100 * np.mean(np.abs(again - first) / first)), 2),
            "repeat_kendall_tau": round(kendall_tau(again, first), 4),
            "subnets": SUBNETS,
            "fitted_to": tables.facts.subnets,
            "estimate": tables.facts.estimate,
        }
    )


if __name__ == "__main__":
    main()
