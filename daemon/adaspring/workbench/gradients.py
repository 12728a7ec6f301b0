"""The gradient of one step: the full network on the labels, its subnets on what it answers.

What pulls in two directions. The subnets outnumber the full network, so ``subnet_weight``
says what each of them counts for beside it. And where their summed gradient points
against its own, every step would take back part of what the network that teaches them
all has learned. ``conflict = "project"`` takes that part off the gradient of the subnets
(Yu and others, Gradient Surgery for Multi-Task Learning, NeurIPS 2020, with two tasks and
the first one left whole). Among the subnets no such care is taken: the feature distance
draws them to the same targets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from adaspring.space import Genome, SearchSpace
from adaspring.workbench.arithmetic import Arithmetic
from adaspring.workbench.parallel import Team
from adaspring.workbench.recipe import TrainingSection
from adaspring.workbench.sampling import diverse
from adaspring.workbench.supernet import Norm, Weights, classify, features


@dataclass(frozen=True, slots=True)
class Losses:
    """Losses of one step, the same in every process.

    Attributes:
        taught: Of the full network, on the labels.
        distilled: Of all other subnets together.
    """

    taught: float
    distilled: float


@dataclass(frozen=True, slots=True)
class _Lesson:
    """What a subnet learns from: inputs, the answers and features of the full network, and the spread of these."""

    x: Tensor
    answers: Tensor
    features: dict[int, Tensor]
    spread: dict[int, Tensor]


@dataclass(frozen=True, slots=True)
class Stepper:
    """Adds up the gradients of one step.

    Attributes:
        space: The search space.
        how: The section of the recipe.
        arithmetic: Where and in what precision.
        team: Who else computes a share of it.
        alone: Whether the full network learns without its subnets.
        subnet_weight: Weight of the gradient of each subnet beside that of the full network.
    """

    space: SearchSpace
    how: TrainingSection
    arithmetic: Arithmetic
    team: Team
    alone: bool = False
    subnet_weight: float = 1.0

    def step(
        self,
        weights: Weights,
        norms: Callable[[Weights, Genome], Norm],
        x: Tensor,
        targets: Tensor,
        rng: np.random.Generator,
    ) -> Losses:
        """Leave in every weight the gradient of this step.

        Args:
            weights: Shared weights, their gradients cleared.
            norms: How each subnet normalises.
            x: Scaled inputs of the whole batch, the same in every process.
            targets: Share of each class in each row, shape ``(n, classes)``.
            rng: Draws the subnets; in the same state in every process.
        """
        full = self.space.full()
        place, share = self.arithmetic.place, self.team.share
        # A network that cannot be chosen differently has no subnets to teach.
        smallest = () if self.alone or self.space.subnet_count == 1 else (self.space.smallest(),)
        subnets = (*smallest, *diverse(self.space, rng, 0 if self.alone else self.how.random_subnets))
        # The batch is in random order, so that any block of it is a random sample.
        rows = min(self.how.subnet_rows, len(x))
        blocks = rng.integers(0, len(x) // rows, len(subnets))
        rows //= self.team.size
        x, targets = place(share(x)), place(share(targets))
        with self.arithmetic.autocast():
            teacher = dict(features(self.space, weights, full, x, norms(weights, full)))
            logits = classify(weights, teacher[max(teacher)]).float()
        loss = functional.cross_entropy(logits, targets, label_smoothing=self.how.label_smoothing)
        torch.autograd.backward(loss)
        first = [None if tensor.grad is None else tensor.grad.clone() for tensor in weights.values()]
        for tensor in weights.values():
            tensor.grad = None

        answers = functional.softmax(logits.detach(), dim=1) if self.how.distil else targets
        # Without subnets nobody learns from them, and their spread is one twentieth of the time of a step.
        targets_of = {slot: feature.detach().float() for slot, feature in teacher.items() if subnets}
        spread = self._spread(targets_of)
        total = torch.zeros((), device=loss.device)
        for genome, block in zip(subnets, blocks.tolist(), strict=True):
            seen = slice(block * rows, (block + 1) * rows)
            goals = {slot: target[seen] for slot, target in targets_of.items()}
            lesson = _Lesson(x[seen], answers[seen], goals, spread)
            total += self._distil(weights, norms(weights, genome), genome, lesson)
        self._combine(weights, first)
        reported = torch.stack([loss.detach(), total])
        self.team.average([reported])
        return Losses(*reported.tolist())

    def _distil(self, weights: Weights, norm: Norm, genome: Genome, lesson: _Lesson) -> Tensor:
        """Add the gradient of one subnet; returns its loss."""
        distance, feature = torch.zeros((), device=lesson.x.device), lesson.x
        with self.arithmetic.autocast():
            student = dict(features(self.space, weights, genome, lesson.x, norm))
            for slot, feature in student.items():
                width = feature.shape[1]
                apart = functional.mse_loss(feature.float(), lesson.features[slot][:, :width])
                distance = distance + apart / lesson.spread[slot][width - 1]
            logits = classify(weights, feature).float()
        loss = functional.cross_entropy(logits, lesson.answers)
        if self.how.distil:
            loss = loss + self.how.feature_weight * distance / len(student)
        torch.autograd.backward(self.subnet_weight * loss)
        return loss.detach()

    def _spread(self, targets: dict[int, Tensor]) -> dict[int, Tensor]:
        """Variance of the first 1, 2, 3... channels of what each slot of the full network puts out."""
        moments = {
            slot: torch.stack(
                [target.transpose(0, 1).flatten(1).mean(dim=1), target.transpose(0, 1).flatten(1).square().mean(dim=1)]
            )
            for slot, target in targets.items()
        }
        self.team.average(list(moments.values()))
        spread = {}
        for slot, both in moments.items():
            mean, square = both.cumsum(dim=1) / torch.arange(1, both.shape[1] + 1, device=both.device)
            spread[slot] = (square - mean.square()).clamp_min(1e-6)
        return spread

    def _combine(self, weights: Weights, first: list[Tensor | None]) -> None:
        """Join the gradient of the full network with that of the subnets, over all processes."""
        tensors = list(weights.values())
        for tensor, taught in zip(tensors, first, strict=True):
            if taught is not None and tensor.grad is None:
                tensor.grad = torch.zeros_like(tensor)
        distilled = [tensor.grad for tensor in tensors if tensor.grad is not None]
        self.team.average(distilled)
        pairs = [(taught, tensor.grad) for taught, tensor in zip(first, tensors, strict=True) if taught is not None]
        self.team.average([taught for taught, _ in pairs])
        if self.how.conflict == "project":
            along = sum(float((taught * grad).sum()) for taught, grad in pairs if grad is not None)
            length = sum(float(taught.square().sum()) for taught, _ in pairs)
            if along < 0:
                for taught, grad in pairs:
                    if grad is not None:
                        grad.sub_(taught, alpha=along / length)
        for taught, grad in pairs:
            if grad is not None:
                grad.add_(taught)
