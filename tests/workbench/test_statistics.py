import numpy as np
import pytest
import torch

from adaspring.space import (
    SearchSpace,
    SpaceSpec,
    condition_count,
    condition_rows,
    joint_layers,
    lower,
    lower_all,
    statistics_count,
)
from adaspring.workbench.sampling import diverse
from adaspring.workbench.statistics import Observations, anchor, fit, record
from adaspring.workbench.supernet import Recorded, forward, initial_weights


@pytest.mark.parametrize(
    ("joint", "upstream", "many", "tolerance"),
    # Rows of which few subnets tell are pulled to zero, those for more than width and producer most.
    [(False, False, 400, 1e-3), (False, True, 4000, 0.02), (True, False, 4000, 0.1), (True, True, 4000, 0.1)],
)
def test_rows_are_found_exactly_where_they_exist(
    small_spec: SpaceSpec, many: int, tolerance: float, *, joint: bool, upstream: bool
) -> None:
    """Statistics that are a sum of rows are predicted without error, for subnets never seen too."""
    space, rng = SearchSpace(small_spec), np.random.default_rng(0)
    layer = next(
        layer
        for layer in lower_all(space)
        if layer.slot and layer.conv.norm and joint == (layer.name in joint_layers(space))
    )
    slot, channels = layer.slot, 8
    rows = rng.standard_normal((condition_count(space, slot, joint=joint, upstream=upstream), channels)).astype(
        np.float32
    )

    def statistics(genome: np.ndarray) -> np.ndarray:
        total: np.ndarray = rows[condition_rows(space, genome, slot).of(rows)].sum(axis=0)
        return total

    seen, unseen = diverse(space, rng, many), diverse(space, rng, 50)
    target = np.stack([statistics(genome) for genome in seen])
    fitted = fit(space, {layer.name: Observations(slot, seen, target, -target)}, ridge=1e-8)
    errors = []
    for genome in unseen:
        expected = statistics(genome)
        for fact, sign in (("mean", 1), ("log_std", -1)):
            table = fitted[f"{layer.name}.{fact}"]
            selected = condition_rows(space, genome, slot).of(table)
            errors.append(np.abs(sign * expected - table[selected].sum(dim=0).numpy()).max())
    assert statistics_count(space, layer.name, slot) == len(fitted[f"{layer.name}.mean"])
    assert (np.median if joint else np.max)(errors) < tolerance


def test_anchors_take_off_what_few_rows_of_data_have_of_their_own(small_spec: SpaceSpec) -> None:
    """Statistics that lie apart by a constant of each channel are moved by it, for subnets never recorded too."""
    space, rng = SearchSpace(small_spec), np.random.default_rng(0)
    slot, channels = 3, 8
    rows = rng.standard_normal((condition_count(space, slot), channels)).astype(np.float32)
    apart = rng.standard_normal(channels).astype(np.float32)

    def observed(genomes: np.ndarray, offset: np.ndarray) -> dict[str, Observations]:
        chosen = (rows[condition_rows(space, genome, slot).of(rows)].sum(axis=0) for genome in genomes)
        target = np.stack([total + offset for total in chosen])
        return {"layer": Observations(slot, genomes, target, -target)}

    few = fit(space, observed(diverse(space, rng, 400), np.zeros(channels, dtype=np.float32)), ridge=1e-8)
    moved = anchor(space, few, observed(diverse(space, rng, 200), apart))
    for genome in diverse(space, rng, 20):
        conditions = condition_rows(space, genome, slot)
        expected, selected = rows[conditions.of(rows)].sum(axis=0) + apart, conditions.of(moved["layer.mean"])
        np.testing.assert_allclose(expected, moved["layer.mean"][selected].sum(dim=0).numpy(), atol=0.02)
        np.testing.assert_allclose(-expected, moved["layer.log_std"][selected].sum(dim=0).numpy(), atol=0.02)


def test_channels_that_narrow_subnets_lack_are_fitted_on_wide_ones(small_spec: SpaceSpec) -> None:
    """NaN marks what a subnet does not have, and is no observation."""
    space = SearchSpace(small_spec)
    genomes = diverse(space, np.random.default_rng(0), 60)
    target = np.ones((60, 2), dtype=np.float32)
    target[::2, 1] = np.nan
    fitted = fit(space, {"layer": Observations(0, genomes, target, target)}, ridge=1e-6)["layer.mean"]
    selected = condition_rows(space, genomes[0], 0).of(fitted)
    np.testing.assert_allclose([1.0, 1.0], fitted[selected].sum(dim=0).numpy(), atol=1e-4)


def test_a_recorded_subnet_is_observed_layer_by_layer(residual_spec: SpaceSpec) -> None:
    """Each subnet adds one observation to each normed layer that it has, in the channels that it has."""
    space = SearchSpace(residual_spec)
    weights, x = initial_weights(space, 0, 0.5), torch.randn(16, 3, 32)
    genomes = diverse(space, np.random.default_rng(0), 10)
    observed = record(space, weights, genomes, x)
    statistics = Recorded()
    forward(space, weights, genomes[0], x, statistics.record)
    for layer in (layer for block in lower(space, genomes[0]) for layer in block.layers):
        if layer.conv.norm:
            found = observed[layer.name]
            row = int(np.flatnonzero((found.genomes == genomes[0]).all(axis=1))[0])
            known = np.isfinite(found.mean[row])
            assert list(range(len(known)))[layer.channels] == np.flatnonzero(known).tolist()
            np.testing.assert_array_equal(statistics.mean[layer.name].numpy(), found.mean[row][known])
