from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from adaspring.space import SearchSpace
from adaspring.workbench.arithmetic import Arithmetic
from adaspring.workbench.augment import Batches
from adaspring.workbench.data import channel_scale, load_rows
from adaspring.workbench.gradients import Losses, Stepper
from adaspring.workbench.parallel import Team
from adaspring.workbench.recipe import Recipe, TrainingSection
from adaspring.workbench.supernet import batch_norm, classify, features, initial_weights

Batch = tuple[torch.Tensor, torch.Tensor]


@pytest.fixture
def batch(data_path: Path, recipe: Recipe) -> Batch:
    """Thirty-two rows and their classes."""
    rows = load_rows(data_path, recipe, "train")
    return Batches.of(rows, 3, channel_scale(rows), None).batch(np.arange(0, 128, 4), np.random.default_rng(0))


def _step(
    recipe: Recipe, batch: Batch, arithmetic: Arithmetic | None = None, subnet_weight: float = 1.0, **changes: object
) -> tuple[torch.Tensor, Losses]:
    """Gradient of all weights in a row, and the losses."""
    space, how = SearchSpace(recipe.space), msgspec.structs.replace(recipe.training, **changes)
    weights = initial_weights(space, how.seed, how.identity)
    for tensor in weights.values():
        tensor.requires_grad_()
    stepper = Stepper(
        space, how, arithmetic or Arithmetic(torch.device("cpu"), "float32"), Team(), subnet_weight=subnet_weight
    )
    losses = stepper.step(weights, lambda _weights, _genome: batch_norm, *batch, np.random.default_rng(5))
    return torch.cat(
        [torch.zeros_like(t).flatten() if t.grad is None else t.grad.flatten() for t in weights.values()]
    ), losses


def _taught(recipe: Recipe, batch: Batch, how: TrainingSection) -> torch.Tensor:
    """Gradient of the full network alone."""
    space = SearchSpace(recipe.space)
    weights = initial_weights(space, how.seed, how.identity)
    for tensor in weights.values():
        tensor.requires_grad_()
    outputs = dict(features(space, weights, space.full(), batch[0], batch_norm))
    logits = classify(weights, outputs[max(outputs)])
    loss = torch.nn.functional.cross_entropy(logits, batch[1], label_smoothing=how.label_smoothing)
    torch.autograd.backward(loss)
    return torch.cat([torch.zeros_like(t).flatten() if t.grad is None else t.grad.flatten() for t in weights.values()])


def test_projection_leaves_the_full_network_its_gradient(recipe: Recipe, batch: Batch) -> None:
    """Along the gradient of the full network, a step is never shorter than that gradient.

    Where nothing conflicts, projecting and adding are the same.
    """
    taught = _taught(recipe, batch, recipe.training)
    added, _ = _step(recipe, batch)
    projected, _ = _step(recipe, batch, conflict="project")
    length = taught @ taught
    assert projected @ taught >= 0.999 * length
    if added @ taught >= length:
        torch.testing.assert_close(added, projected)


def test_subnets_count_for_their_weight(recipe: Recipe, batch: Batch) -> None:
    """What subnets add to the gradient of the full network is their weight times what they add at weight 1."""
    taught = _taught(recipe, batch, recipe.training)
    whole, losses = _step(recipe, batch)
    part, same = _step(recipe, batch, subnet_weight=0.25)
    torch.testing.assert_close(part - taught, 0.25 * (whole - taught), rtol=1e-3, atol=1e-5)
    assert losses == same


def test_without_distillation_subnets_learn_the_labels(recipe: Recipe, batch: Batch) -> None:
    """The loss of the full network is the same; that of the subnets is another."""
    _, distilled = _step(recipe, batch)
    _, labelled = _step(recipe, batch, distil=False)
    assert distilled.taught == pytest.approx(labelled.taught)
    assert distilled.distilled != pytest.approx(labelled.distilled)


def test_bfloat16_computes_nearly_the_same_and_falls_back_where_there_is_none(recipe: Recipe, batch: Batch) -> None:
    """Two digits of the loss agree; a processor without it says so."""
    chosen = Arithmetic.choose("bfloat16")
    assert (chosen.precision == "bfloat16") == (not chosen.note)
    _, exact = _step(recipe, batch)
    _, rough = _step(recipe, batch, Arithmetic(torch.device("cpu"), "bfloat16"))
    assert exact.taught == pytest.approx(rough.taught, rel=0.03)
