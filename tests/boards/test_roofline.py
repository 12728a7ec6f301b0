from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from adaspring.boards import load_profile, load_profiles, roofline_latency
from adaspring.space import SearchSpace, SlotSpec, SpaceSpec, subnet_costs


def test_a_slot_costs_its_slower_half_and_its_layers(toys: Path) -> None:
    """One convolution whose traffic outweighs its arithmetic, checked by hand."""
    space = SearchSpace(SpaceSpec(input_channels=8, input_size=(100,), outputs=2, slots=(SlotSpec(width=8),)))
    board = load_profile("toy", folder=toys)
    # 8 x 8 x 3 x 100 MACs at 2e3 per us; (200 weights and biases, 800 elements in, 800 out) x 4 bytes at 1e3 per us.
    convolution_us = max(19200 / 2e3, (200 + 1600) * 4 / 1e3) + 5
    classifier_us = max(16 / 2e3, 18 * 4 / 1e3) + 2 * 5
    latency = roofline_latency(space, board).evaluate(space, space.full()[None])
    np.testing.assert_allclose([convolution_us + classifier_us], latency)


@pytest.mark.parametrize("name", ["generic-aarch64", "generic-x86_64", "raspberry-pi-4b", "raspberry-pi-5"])
def test_estimates_fit_the_space_and_order_subnets(
    profiles: Path, small_spec: SpaceSpec, image_spec: SpaceSpec, name: str
) -> None:
    """On every board the tables fit, and the full network takes longest."""
    board = load_profile(name, folder=profiles)
    for spec in (small_spec, image_spec):
        space = SearchSpace(spec)
        table = roofline_latency(space, board)
        table.check(space, "latency")
        genomes = space.random(np.random.default_rng(0), 50)
        full, smallest = table.evaluate(space, np.stack([space.full(), space.smallest()]))
        latency = table.evaluate(space, genomes)
        layers = np.array([subnet_costs(space, genome).layers for genome in genomes])
        assert (latency > board.roofline.layer_us.value * layers).all()
        assert full > smallest


def test_a_slower_board_is_estimated_slower(profiles: Path, small_spec: SpaceSpec) -> None:
    """A Raspberry Pi 4 comes out behind a Raspberry Pi 5 on every subnet."""
    space = SearchSpace(small_spec)
    boards = {board.name: board for board in load_profiles(profiles)}
    genomes = space.random(np.random.default_rng(1), 100)
    slow = roofline_latency(space, boards["raspberry-pi-4b"]).evaluate(space, genomes)
    quick = roofline_latency(space, boards["raspberry-pi-5"]).evaluate(space, genomes)
    assert (slow > quick).all()


def test_int8_is_never_estimated_slower(profiles: Path) -> None:
    """int8 moves fewer bytes and is credited with no more than that."""
    slots = (SlotSpec(width=16, ratios=(1.0, 0.5)), SlotSpec(width=16, skippable=True))
    spec = SpaceSpec(input_channels=3, input_size=(64,), outputs=2, slots=slots, precisions=("float32", "int8"))
    space = SearchSpace(spec)
    table = roofline_latency(space, load_profile("raspberry-pi-4b", folder=profiles))
    assert (table.values[1][space.legal] <= table.values[0][space.legal]).all()
