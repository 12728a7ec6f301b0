"""Ensemble training of the supernet, in two phases of one loop; reads from top to bottom.

The sandwich rule with in-place distillation (Yu and Huang, Universally Slimmable
Networks, ICCV 2019): each step trains the full network on the labels, and the
smallest and a few random subnets on what the full network answers.

Answers alone are a weak teacher where each slot has a dozen forms to choose from:
a form meets any other too seldom to learn to work with it. So each slot of a
subnet is also drawn towards what the same slot of the full network puts out, its
first channels. All forms of a slot then speak one language and any mix of them works.

The *ensemble* phase normalises each subnet with its own batch. Statistics for
every subnet are fitted behind it (`statistics`), and the *settle* phase trains on
with these, so that weights and statistics get used to what an assembled subnet has.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, isfinite, pi
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from adaspring.errors import WorkbenchError
from adaspring.space import Genome, SearchSpace
from adaspring.workbench.augment import Augmenter
from adaspring.workbench.checkpoint import Checkpoint, moments_of, restore_moments
from adaspring.workbench.recipe import PhaseSection, TrainingSection
from adaspring.workbench.sampling import diverse
from adaspring.workbench.supernet import Norm, Recorded, Weights, batch_norm, classify, conditioned, features, forward

#: Share of the steps of a phase in which the learning rate rises.
WARM_UP = 0.05

#: Training rows that recalibrate a subnet for validation.
RECALIBRATION_ROWS = 1024


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
class Phase:
    """One phase of the training.

    Attributes:
        number: Sets its random draws apart from those of the other phases.
        how: Epochs and learning rate.
        norm: How a subnet normalises while it learns.
        judge: How it normalises while it is validated.
    """

    number: int
    how: PhaseSection
    norm: Callable[[Weights, Genome], Norm]
    judge: Callable[[Weights, Genome], Norm]


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


def ensemble_phase(space: SearchSpace, how: TrainingSection, data: TrainingData) -> Phase:
    """Every subnet normalises with its own batch, and is recalibrated to be validated."""
    thinned = data.windows.x[:: max(1, len(data.labels) // RECALIBRATION_ROWS)]

    def recalibrated(weights: Weights, genome: Genome) -> Norm:
        statistics = Recorded()
        forward(space, weights, genome, thinned, statistics.record)
        return statistics.apply

    return Phase(0, how.ensemble, norm=lambda _weights, _genome: batch_norm, judge=recalibrated)


def settle_phase(space: SearchSpace, how: TrainingSection) -> Phase:
    """Every subnet normalises with the fitted statistics, which learn as the weights do."""

    def norm(weights: Weights, genome: Genome) -> Norm:
        return conditioned(space, weights, genome)

    return Phase(1, how.settle, norm=norm, judge=norm)


def train(
    space: SearchSpace,
    how: TrainingSection,
    phase: Phase,
    data: TrainingData,
    initial: Callable[[], Weights],
    *,
    checkpoint: Path,
    recipe: str,
    report: Callable[[EpochReport], None] = lambda _: None,
) -> Weights:
    """Run one phase and return the weights that validated best.

    Args:
        space: The search space.
        how: The section of the recipe.
        phase: Which phase.
        data: Rows.
        initial: Makes the weights to start from, where there is no checkpoint.
        checkpoint: Written after every validation; if it is there, training goes on from it.
        recipe: Digest of the recipe, kept in the checkpoint.
        report: Called after every epoch.

    Raises:
        WorkbenchError: If a loss stops being a number; the checkpoint keeps the last good
            state. Also if the checkpoint cannot be resumed.
    """
    if checkpoint.exists():
        state = Checkpoint.load(checkpoint, recipe)
    else:
        weights = initial()
        state = Checkpoint(recipe, 0, weights, _copy(weights), _copy(weights), -1.0, {})
    weights = {name: tensor.requires_grad_() for name, tensor in state.weights.items()}
    optimizer = _optimizer(weights, how)
    restore_moments(optimizer, weights, state.moments)

    judged = [space.full(), space.smallest(), *diverse(space, np.random.default_rng(how.seed), how.validate_subnets)]
    steps = max(1, len(data.labels) // how.batch)
    started_s, spent_before_s = perf_counter(), state.spent_s
    while state.epoch < phase.how.epochs:
        # Seeded by epoch, so that a resumed run draws what an uninterrupted one would.
        rng = np.random.default_rng([how.seed, phase.number, state.epoch])
        order = rng.permutation(len(data.labels))
        losses = []
        for step in range(steps):
            done = state.epoch * steps + step
            rows = order[step * how.batch : (step + 1) * how.batch]
            x, y = data.windows.batch(rows, rng), data.labels[rows]
            for group in optimizer.param_groups:
                group["lr"] = phase.how.learning_rate * _schedule(done / (phase.how.epochs * steps))
            optimizer.zero_grad()
            taught, distilled = _accumulate(space, weights, phase, how, x=x, y=y, rng=rng)
            if not isfinite(taught + distilled):
                raise WorkbenchError(
                    f"the loss is no number at step {step} of epoch {state.epoch + 1}: lower learning_rate or look "
                    f"at rows {rows[:4].tolist()}...; the last good state is {checkpoint}, if one was reached"
                )
            optimizer.step()
            # The average forgets quickly while it is young, or it would remember the start.
            _follow(state.average, weights, min(how.average, (1 + done) / (10 + done)))
            losses.append(taught)
        state.epoch += 1
        percent = None
        if state.epoch % how.validate_every == 0 or state.epoch == phase.how.epochs:
            percent = float(np.mean([_validate(space, state.average, phase, genome, data) for genome in judged]))
            if percent >= state.best_percent:
                state.best, state.best_percent = _copy(state.average), percent
            state.moments = moments_of(optimizer, weights)
            state.spent_s = spent_before_s + perf_counter() - started_s
            state.save(checkpoint)
        report(EpochReport(state.epoch, float(np.mean(losses)), percent))
    return state.best


def accuracy_percent(logits: Tensor, labels: Tensor) -> float:
    """Share of right answers, in percent."""
    return float((logits.argmax(dim=1) == labels).double().mean() * 100)


def _accumulate(
    space: SearchSpace,
    weights: Weights,
    phase: Phase,
    how: TrainingSection,
    *,
    x: Tensor,
    y: Tensor,
    rng: np.random.Generator,
) -> tuple[float, float]:
    """Add up the gradients of one step; returns the loss of the full network and that of all others."""
    teacher = dict(features(space, weights, space.full(), x, phase.norm(weights, space.full())))
    logits = classify(weights, teacher[max(teacher)])
    loss = functional.cross_entropy(logits, y, label_smoothing=how.label_smoothing)
    torch.autograd.backward(loss)
    answers = functional.softmax(logits.detach(), dim=1)
    targets = {slot: feature.detach() for slot, feature in teacher.items()}

    total = 0.0
    for genome in (space.smallest(), *diverse(space, rng, how.random_subnets)):
        rows = torch.from_numpy(rng.choice(len(x), min(how.subnet_rows, len(x)), replace=False))
        distance, feature = torch.zeros(()), x
        student = dict(features(space, weights, genome, x[rows], phase.norm(weights, genome)))
        for slot, feature in student.items():
            target = targets[slot][rows, : feature.shape[1]]
            distance = distance + functional.mse_loss(feature, target) / target.var()
        distilled = functional.cross_entropy(classify(weights, feature), answers[rows])
        distilled = distilled + how.feature_weight * distance / len(student)
        torch.autograd.backward(distilled)
        total += float(distilled.detach())
    return float(loss.detach()), total


def _optimizer(weights: Weights, how: TrainingSection) -> torch.optim.Optimizer:
    decayed = [tensor for name, tensor in weights.items() if name.endswith(".weight")]
    plain = [tensor for name, tensor in weights.items() if not name.endswith(".weight")]
    groups = [{"params": decayed, "weight_decay": how.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, fused=True)


def _schedule(progress: float) -> float:
    """Share of the learning rate: a short linear rise, then half a cosine down to a hundredth."""
    if progress < WARM_UP:
        return progress / WARM_UP + 1e-3
    along = (progress - WARM_UP) / (1.0 - WARM_UP)
    return 0.01 + 0.99 * 0.5 * (1.0 + cos(pi * along))


@torch.no_grad()
def _validate(space: SearchSpace, weights: Weights, phase: Phase, genome: Genome, data: TrainingData) -> float:
    logits = forward(space, weights, genome, data.validation_x, phase.judge(weights, genome))
    return accuracy_percent(logits, data.validation_y)


def _copy(weights: Weights) -> Weights:
    return {name: tensor.detach().clone() for name, tensor in weights.items()}


@torch.no_grad()
def _follow(average: Weights, weights: Weights, decay: float) -> None:
    for name, tensor in weights.items():
        average[name].lerp_(tensor, 1.0 - decay)
