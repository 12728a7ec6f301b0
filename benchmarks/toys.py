"""Bundles of random weights, for what depends on shapes alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from adaspring.bundle import Accuracy, AccuracyTables, InputSpec, Manifest, OutputSpec, TrainingFacts, write_bundle
from adaspring.space import SearchSpace, SpaceSpec, analytic_tables, lower_all, statistics_count
from adaspring.tables import SlotTable


def write_toy(spec: SpaceSpec, path: Path) -> Path:
    """Write a bundle that knows nothing; returns its folder."""
    space = SearchSpace(spec)
    labels = tuple(f"class {index}" for index in range(spec.outputs))
    shape = (spec.input_channels, *spec.input_size)
    manifest = Manifest(
        format=1,
        name="toy",
        version="1",
        title="Random weights for benchmarks",
        space=spec,
        input=InputSpec("x", shape, None, ("noise",) * shape[0], (1.0,) * shape[0], "Noise"),
        output=OutputSpec("logits", labels),
        training=TrainingFacts(command="none", seed=0, duration_s=0.0, epochs=0, data="none", torch="none"),
        accuracy=Accuracy(full_percent=0.0, median_percent=0.0, smallest_percent=0.0, test_rows=0),
        licence="Apache-2.0",
        files={},
    )
    accuracy = SlotTable.of_macs(space, analytic_tables(space))
    write_bundle(path, manifest, _weights(space), AccuracyTables(accuracy, 0.0, 0.0, 0), "# Random weights\n")
    return path


def _weights(space: SearchSpace) -> dict[str, npt.NDArray[np.float32]]:
    rng = np.random.default_rng(0)
    weights = {}
    for layer in lower_all(space):
        scale = float(np.prod(layer.weight_shape[1:])) ** -0.5
        weights[f"{layer.name}.weight"] = rng.standard_normal(layer.weight_shape, dtype=np.float32) * np.float32(scale)
        channels, rows = layer.conv.out_channels, statistics_count(space, layer.name, layer.slot)
        shapes = {"gamma": (channels,), "beta": (channels,), "mean": (rows, channels), "log_std": (rows, channels)}
        for statistic, shape in shapes.items() if layer.conv.norm else {"bias": (channels,)}.items():
            weights[f"{layer.name}.{statistic}"] = np.full(shape, float(statistic == "gamma"), dtype=np.float32)
    final = int(space.widths[space.final_widths].max())
    weights["head.weight"] = rng.standard_normal((space.spec.outputs, final), dtype=np.float32)
    weights["head.bias"] = np.zeros(space.spec.outputs, dtype=np.float32)
    return weights
