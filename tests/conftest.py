"""Fixtures that several packages' tests share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from adaspring.bundle import (
    Accuracy,
    AccuracyTables,
    Bundle,
    InputSpec,
    Manifest,
    OutputSpec,
    TrainingFacts,
    load_bundle,
    write_bundle,
)
from adaspring.space import SearchSpace, SlotSpec, SpaceSpec, analytic_tables, condition_count, lower_all
from adaspring.tables import SlotTable

ALL_OPERATORS = ("conv", "dwsep", "lowrank")


@pytest.fixture(scope="session")
def small_spec() -> SpaceSpec:
    """A 1-D space of 4 slots with every operator, a stride and two skips."""
    ratios = (1.0, 0.5)
    return SpaceSpec(
        input_channels=3,
        input_size=(32,),
        outputs=4,
        slots=(
            SlotSpec(width=16, kernel=5, stride=2, operators=ALL_OPERATORS, ratios=ratios),
            SlotSpec(width=16, operators=ALL_OPERATORS, ratios=ratios, skippable=True),
            SlotSpec(width=32, stride=2, operators=ALL_OPERATORS, ratios=ratios),
            SlotSpec(width=32, operators=ALL_OPERATORS, ratios=ratios, skippable=True),
        ),
    )


@pytest.fixture(scope="session")
def image_spec() -> SpaceSpec:
    """A 2-D space of 3 slots."""
    return SpaceSpec(
        input_channels=3,
        input_size=(12, 10),
        outputs=5,
        slots=(
            SlotSpec(width=16, stride=2, operators=ALL_OPERATORS, ratios=(1.0, 0.5)),
            SlotSpec(width=16, operators=ALL_OPERATORS, ratios=(1.0, 0.5), skippable=True),
            SlotSpec(width=24, stride=2, operators=ALL_OPERATORS, ratios=(1.0,)),
        ),
    )


def random_weights(space: SearchSpace, seed: int = 0) -> dict[str, np.ndarray]:
    """Weights and statistics of the right shapes, drawn so that activations neither vanish nor explode."""
    rng = np.random.default_rng(seed)

    def draw(*shape: int, scale: float = 1.0) -> np.ndarray:
        return (scale * rng.standard_normal(shape)).astype(np.float32)

    weights: dict[str, np.ndarray] = {}
    for layer in lower_all(space):
        out = layer.conv.out_channels
        fan_in = int(np.prod(layer.weight_shape[1:]))
        weights[f"{layer.name}.weight"] = draw(*layer.weight_shape, scale=fan_in**-0.5)
        if layer.conv.norm:
            rows = condition_count(space, layer.slot)
            weights[f"{layer.name}.gamma"] = 1 + draw(out, scale=0.1)
            weights[f"{layer.name}.beta"] = draw(out, scale=0.1)
            weights[f"{layer.name}.mean"] = draw(rows, out, scale=0.05)
            weights[f"{layer.name}.log_std"] = draw(rows, out, scale=0.05)
        else:
            weights[f"{layer.name}.bias"] = draw(out, scale=0.1)
    final = int(space.widths[space.final_widths].max())
    weights["head.weight"] = draw(space.spec.outputs, final)
    weights["head.bias"] = draw(space.spec.outputs)
    return weights


@pytest.fixture(scope="session")
def make_bundle() -> Callable[[SpaceSpec, Path], Bundle]:
    """Writes a bundle with random weights to a folder and loads it back."""

    def make(spec: SpaceSpec, path: Path) -> Bundle:
        space = SearchSpace(spec)
        macs = SlotTable.of_macs(space, analytic_tables(space))
        # Accuracy that grows with MACs: from about 60 to 90 percent.
        full = float(macs.evaluate(space, space.full()[None])[0])
        accuracy = SlotTable(macs.values * (30 / full), macs.head * (30 / full) + 60)
        manifest = Manifest(
            format=1,
            name="toy",
            version="1",
            title="Random weights for tests",
            space=spec,
            input=InputSpec(
                name="x",
                shape=(spec.input_channels, *spec.input_size),
                rate_hz=50.0,
                channels=tuple(f"channel {index}" for index in range(spec.input_channels)),
                scale=tuple(1.0 + 0.5 * index for index in range(spec.input_channels)),
                description="Noise",
            ),
            output=OutputSpec(name="logits", labels=tuple(f"class {index}" for index in range(spec.outputs))),
            training=TrainingFacts(command="none", seed=0, duration_s=0.0, epochs=0, data="none", torch="none"),
            accuracy=Accuracy(full_percent=90.0, median_percent=75.0, smallest_percent=60.0, test_rows=1),
            licence="Apache-2.0",
            files={},
        )
        tables = AccuracyTables(percent=accuracy, error_points=1.0, kendall_tau=0.9, subnets=10)
        write_bundle(path, manifest, random_weights(space), tables, "# Random weights\n")
        return load_bundle(path)

    return make


@pytest.fixture(scope="session")
def small_bundle(
    make_bundle: Callable[[SpaceSpec, Path], Bundle], small_spec: SpaceSpec, tmp_path_factory: pytest.TempPathFactory
) -> Bundle:
    """A loaded bundle of `small_spec`."""
    return make_bundle(small_spec, tmp_path_factory.mktemp("bundle") / "toy")
