"""Ensemble training of the supernet; reads from top to bottom.

The sandwich rule with in-place distillation (Yu and Huang, Universally Slimmable
Networks, ICCV 2019): each step trains the full network on the labels, and the
smallest and a few random subnets on what the full network answers. Between them
they hold every subnet of the space.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, pi
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from adaspring.errors import WorkbenchError
from adaspring.space import Genome, SearchSpace
from adaspring.workbench.augment import Augmenter
from adaspring.workbench.checkpoint import Checkpoint, moments_of, restore_moments
from adaspring.workbench.recipe import TrainingSection
from adaspring.workbench.sampling import diverse
from adaspring.workbench.supernet import Norm, Recorded, Weights, batch_norm, forward, initial_weights

#: Share of all steps in which the learning rate rises.
WARM_UP = 0.05


@dataclass(frozen=True, slots=True)
class TrainingData:
    """What training reads.

    Attributes:
        windows: Draws augmented batches of the training rows.
        labels: Their labels, shape ``(n,)``.
        validation_x: Scaled validation windows.
        validation_y: Their labels.
    """

    windows: Augmenter
    labels: Tensor
    validation_x: Tensor
    validation_y: Tensor


@dataclass(frozen=True, slots=True)
class EpochReport:
    """What one epoch came to.

    Attributes:
        epoch: Epochs done.
        loss: Mean loss of the full network.
        validation_percent: Mean accuracy of full, smallest and some random subnets on
            the validation rows; None where this epoch was not validated.
    """

    epoch: int
    loss: float
    validation_percent: float | None


def train(
    space: SearchSpace,
    how: TrainingSection,
    data: TrainingData,
    *,
    checkpoint: Path,
    recipe: str,
    resume: bool = False,
    report: Callable[[EpochReport], None] = lambda _: None,
) -> Weights:
    """Train the supernet and return the weights that validated best.

    Args:
        space: The search space.
        how: The section of the recipe.
        data: Rows.
        checkpoint: File that is written after every validation.
        recipe: Digest of the recipe, kept in the checkpoint.
        resume: Whether to go on from the checkpoint.
        report: Called after every epoch.

    Raises:
        WorkbenchError: If the loss stops being a number; the checkpoint keeps the last
            good state.
    """
    weights = {name: tensor.requires_grad_() for name, tensor in initial_weights(space, how.seed).items()}
    decayed = [tensor for tensor in weights.values() if tensor.ndim > 1]
    plain = [tensor for tensor in weights.values() if tensor.ndim == 1]
    groups = [{"params": decayed, "weight_decay": how.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=how.learning_rate)
    state = Checkpoint(recipe, 0, weights, _copy(weights), _copy(weights), -1.0, {})
    if resume:
        state = Checkpoint.load(checkpoint, recipe)
        _assign(weights, state.weights)
        restore_moments(optimizer, weights, state.moments)
        state.weights = weights

    steps = max(1, len(data.labels) // how.batch)
    judged = _judged_subnets(space, how)
    while state.epoch < how.epochs:
        # Seeded by epoch, so that a resumed run draws what an uninterrupted one would.
        rng = np.random.default_rng([how.seed, state.epoch])
        order = rng.permutation(len(data.labels))
        losses = []
        for step in range(steps):
            rows = order[step * how.batch : (step + 1) * how.batch]
            rate = learning_rate(how, (state.epoch * steps + step) / (how.epochs * steps))
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.zero_grad()
            subnets = diverse(space, rng, how.random_subnets)
            loss = _accumulate(space, weights, subnets, data.windows.batch(rows, rng), data.labels[rows], how)
            if not np.isfinite(loss):
                raise WorkbenchError(
                    f"the loss is {loss} at step {step} of epoch {state.epoch + 1}: lower learning_rate, "
                    f"or look at the data; {checkpoint} keeps the last good state"
                )
            optimizer.step()
            _follow(state.average, weights, how.average)
            losses.append(loss)
        state.epoch += 1
        percent = None
        if state.epoch % how.validate_every == 0 or state.epoch == how.epochs:
            percent = float(np.mean([_validate(space, state.average, genome, data) for genome in judged]))
            if percent >= state.best_percent:
                state.best, state.best_percent = _copy(state.average), percent
            state.moments = moments_of(optimizer, weights)
            state.save(checkpoint)
        report(EpochReport(state.epoch, float(np.mean(losses)), percent))
    return state.best


def learning_rate(how: TrainingSection, progress: float) -> float:
    """A short linear rise, then half a cosine down to a hundredth."""
    if progress < WARM_UP:
        return how.learning_rate * (progress + 1e-3) / WARM_UP
    along = (progress - WARM_UP) / (1.0 - WARM_UP)
    return how.learning_rate * (0.01 + 0.99 * 0.5 * (1.0 + cos(pi * along)))


def _accumulate(
    space: SearchSpace, weights: Weights, subnets: Genome, x: Tensor, y: Tensor, how: TrainingSection
) -> float:
    """Add up the gradients of one step; returns the loss of the full network."""
    logits = forward(space, weights, space.full(), x, batch_norm)
    loss = functional.cross_entropy(logits, y, label_smoothing=how.label_smoothing)
    loss.backward()
    taught = functional.softmax(logits.detach(), dim=1)
    for genome in (space.smallest(), *subnets):
        functional.cross_entropy(forward(space, weights, genome, x, batch_norm), taught).backward()
    return float(loss.detach())


@torch.no_grad()
def _validate(space: SearchSpace, weights: Weights, genome: Genome, data: TrainingData) -> float:
    statistics = Recorded()
    thinned = data.windows.x[:: max(1, len(data.labels) // 1024)]
    forward(space, weights, genome, thinned, statistics.record)
    return accuracy_percent(forward(space, weights, genome, data.validation_x, statistics.apply), data.validation_y)


def accuracy_percent(logits: Tensor, labels: Tensor) -> float:
    """Share of right answers, in percent."""
    return float((logits.argmax(dim=1) == labels).double().mean() * 100)


def _judged_subnets(space: SearchSpace, how: TrainingSection) -> list[Genome]:
    drawn = diverse(space, np.random.default_rng(how.seed), how.validate_subnets)
    return [space.full(), space.smallest(), *drawn]


def _copy(weights: Weights) -> Weights:
    return {name: tensor.detach().clone() for name, tensor in weights.items()}


@torch.no_grad()
def _assign(weights: Weights, values: Weights) -> None:
    for name, tensor in weights.items():
        tensor.copy_(values[name])


@torch.no_grad()
def _follow(average: Weights, weights: Weights, decay: float) -> None:
    for name, tensor in weights.items():
        average[name].lerp_(tensor, 1.0 - decay)
