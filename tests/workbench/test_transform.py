from __future__ import annotations

import pytest
import torch

from adaspring.space import SearchSpace, SpaceSpec, lower
from adaspring.workbench.supernet import Recorded, Weights, features, forward, initial_weights
from adaspring.workbench.transform import sorted_by_importance, transformed

FAMILIES = ["small_spec", "image_spec", "residual_spec", "residual_image_spec"]


@pytest.fixture(params=FAMILIES)
def space(request: pytest.FixtureRequest) -> SearchSpace:
    """Spaces of one and two dimensions, with and without shortcuts."""
    spec: SpaceSpec = request.getfixturevalue(request.param)
    return SearchSpace(spec)


def trained(space: SearchSpace) -> Weights:
    """Weights in which every channel and every norm differs, as behind a training."""
    weights = initial_weights(space, 3, 0.3)
    generator = torch.Generator().manual_seed(4)
    return {name: tensor + 0.2 * torch.randn(tensor.shape, generator=generator) for name, tensor in weights.items()}


def frames(space: SearchSpace) -> torch.Tensor:
    """Some inputs."""
    return torch.randn(
        16, space.spec.input_channels, *space.spec.input_size, generator=torch.Generator().manual_seed(5)
    )


def test_sorting_leaves_the_full_network_as_it_was(space: SearchSpace) -> None:
    """The same logits in another order of channels; the order is another one."""
    before = trained(space)
    after = sorted_by_importance(space, before)
    x, full = frames(space), space.full()
    logits = [forward(space, weights, full, x, Recorded().record) for weights in (before, after)]
    torch.testing.assert_close(logits[0], logits[1], rtol=1e-4, atol=1e-4)
    assert not torch.equal(before["head.weight"], after["head.weight"])


def test_what_the_head_reads_most_comes_first(space: SearchSpace) -> None:
    """Where the head alone reads a stream, its weights fall from channel to channel."""
    after = sorted_by_importance(space, trained(space))
    last = space.spec.slots[-1]
    importance = after["head.weight"].abs().sum(dim=0)
    if last.shortcut == "identity":
        # What stands in the last block reads the same channels.
        for block in lower(space, space.full()):
            if block.slot == space.slot_count - 1:
                importance += after[f"{block.name}.first.full.weight"].abs().transpose(0, 1).flatten(1).sum(dim=1)
    elif last.skippable:
        importance += after[f"slots.{space.slot_count - 1}.conv.full.weight"].abs().transpose(0, 1).flatten(1).sum(1)
    assert torch.equal(importance, importance.sort(descending=True).values)


def test_a_narrow_slot_keeps_more_of_a_sorted_network(small_spec: SpaceSpec) -> None:
    """Cut to half its channels, the last slot leaves the head nearer to what it read before."""
    space = SearchSpace(small_spec)
    before = trained(space)
    heavy = torch.arange(32) % 2 == 1
    before["head.weight"] = torch.where(heavy, 1.0, 0.01) * torch.ones(4, 1)
    cut = before["head.weight"][:, :16].abs().sum()
    assert sorted_by_importance(space, before)["head.weight"][:, :16].abs().sum() > 1.5 * cut


def test_every_operator_gets_weights_of_its_shapes(space: SearchSpace) -> None:
    """What comes out is a supernet with the tensors of one at the start, every operator changed."""
    start = trained(space)
    supernet = transformed(space, start)
    assert {name: tensor.shape for name, tensor in start.items()} == {
        name: tensor.shape for name, tensor in supernet.items()
    }
    for name, tensor in supernet.items():
        if name.endswith(".weight") and name.split(".")[-2] not in {"slots", "full", "head", "projection"}:
            assert not torch.equal(start[name], tensor), name


@pytest.mark.parametrize("operator", ["lowrank", "spatial"])
def test_a_factorised_slot_computes_what_its_convolution_did(residual_image_spec: SpaceSpec, operator: str) -> None:
    """Convolutions of low rank are taken over whole: each slot puts out what the full network's does."""
    space = SearchSpace(residual_image_spec)
    weights = trained(space)
    for name, tensor in weights.items():
        if name.endswith("full.weight") and not name.startswith("slots.0."):
            # One filter for all channels, of rank one over its axes too.
            outputs, inputs = tensor.shape[:2]
            filters = torch.outer(torch.tensor([0.5, 1.0, 0.2]), torch.tensor([0.3, 1.0, -0.4]))
            mixed = torch.outer(torch.randn(outputs), torch.randn(inputs))
            weights[name] = mixed[:, :, None, None] * filters
    supernet = transformed(space, weights)
    genome = space.full()
    for slot in range(1, space.slot_count):
        named = [choice.operator for choice in space.choices[slot]]
        genome[slot] = named.index(operator)
    x = frames(space)
    full, other = (dict(features(space, supernet, each, x, Recorded().record)) for each in (space.full(), genome))
    for slot, feature in full.items():
        torch.testing.assert_close(feature, other[slot], rtol=1e-3, atol=1e-3)
