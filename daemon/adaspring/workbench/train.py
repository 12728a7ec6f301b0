"""Ensemble training of the supernet, in phases of one loop; reads from top to bottom.

The sandwich rule with in-place distillation (Yu and Huang, Universally Slimmable
Networks, ICCV 2019): each step trains the full network on the labels, and the
smallest and a few random subnets on what the full network answers.

Answers alone are a weak teacher where each slot has a dozen forms to choose from:
a form meets any other too seldom to learn to work with it. So each slot of a
subnet is also drawn towards what the same slot of the full network puts out, its
first channels. All forms of a slot then speak one language and any mix of them works.

The *backbone* phase, where a recipe has one, trains the full network alone; the operators
then start from its parameters (`transform`).

The *ensemble* phase normalises each subnet with its own batch. Statistics for
every subnet are fitted behind it (`statistics`), and the *settle* phase trains on
with these, so that weights and statistics get used to what an assembled subnet has.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import cos, inf, isfinite, pi
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from torch import Tensor

from adaspring.errors import StageOverError, WorkbenchError
from adaspring.profile.machine import pause_while_measured
from adaspring.space import Genome, SearchSpace
from adaspring.workbench.arithmetic import Arithmetic
from adaspring.workbench.augment import Batches
from adaspring.workbench.checkpoint import Checkpoint, moments_of, restore_moments
from adaspring.workbench.gradients import Stepper
from adaspring.workbench.parallel import Team
from adaspring.workbench.recipe import PhaseSection, TrainingSection
from adaspring.workbench.sampling import diverse
from adaspring.workbench.supernet import Norm, Recorded, Weights, conditioned, forward

#: Share of the steps of a phase in which the learning rate rises.
WARM_UP = 0.05

#: Training rows that recalibrate a subnet for validation.
RECALIBRATION_ROWS = 1024

#: Rows that one validation pass holds in memory.
VALIDATION_BATCH = 512


@dataclass(frozen=True, slots=True)
class TrainingData:
    """What training reads.

    Attributes:
        batches: Draws augmented batches of the training rows.
        calibration_x: Scaled inputs of some training rows, as they are.
        validation_x: Scaled inputs of the validation rows.
        validation_y: Their labels.
    """

    batches: Batches
    calibration_x: Tensor
    validation_x: Tensor
    validation_y: Tensor


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where a training runs.

    Attributes:
        arithmetic: Device and precision.
        team: The processes that share it.
        ends_s: When its stage is over, on the clock; infinity where it runs to its end.
        clock: In seconds.
        lock: The lock under which somebody measures; None is that of the machine.
    """

    arithmetic: Arithmetic = field(default_factory=lambda: Arithmetic.choose("float32"))
    team: Team = field(default_factory=Team)
    ends_s: float = inf
    clock: Callable[[], float] = perf_counter
    lock: Path | None = None


@dataclass(frozen=True, slots=True)
class Phase:
    """One phase of the training.

    Attributes:
        number: Sets its random draws apart from those of the other phases.
        how: Epochs and learning rate.
        norm: How a subnet normalises while it learns.
        judge: How it normalises while it is validated.
        mixes: Whether rows are mixed with others, where the recipe says so.
        alone: Whether the full network learns, and is validated, without its subnets.
        learns: Whether a tensor learns, by its name.
        may_stay: Whether what it starts from is validated too, and kept where all that comes of it is worse.
    """

    number: int
    how: PhaseSection
    norm: Callable[[Weights, Genome], Norm]
    judge: Callable[[Weights, Genome], Norm]
    mixes: bool = True
    alone: bool = False
    learns: Callable[[str], bool] = lambda _name: True
    may_stay: bool = False


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


def ensemble_phase(space: SearchSpace, how: TrainingSection, data: TrainingData, around: Surroundings) -> Phase:
    """Every subnet normalises with its own batch, and is recalibrated to be validated."""
    return _in_batches(0, how.ensemble, space, data, around)


def backbone_phase(space: SearchSpace, how: PhaseSection, data: TrainingData, around: Surroundings) -> Phase:
    """The full network learns alone, as a network of one size would."""
    return replace(_in_batches(2, how, space, data, around), alone=True)


def _in_batches(number: int, how: PhaseSection, space: SearchSpace, data: TrainingData, around: Surroundings) -> Phase:
    calibration_x = around.arithmetic.place(data.calibration_x[:RECALIBRATION_ROWS])

    def recalibrated(weights: Weights, genome: Genome) -> Norm:
        statistics = Recorded()
        forward(space, weights, genome, calibration_x, statistics.record)
        return statistics.apply

    batch_norm = around.team.batch_norm
    return Phase(number, how, norm=lambda _weights, _genome: batch_norm, judge=recalibrated)


def settle_phase(space: SearchSpace, how: TrainingSection) -> Phase:
    """Every subnet normalises with the fitted statistics, which learn as the weights do.

    They are to fit rows as they come: mixed ones vary less.
    """
    if how.settle.only_statistics:
        return replace(_settling(space, how), learns=lambda name: name.endswith((".mean", ".log_std")))
    return _settling(space, how)


def _settling(space: SearchSpace, how: TrainingSection) -> Phase:

    def norm(weights: Weights, genome: Genome) -> Norm:
        return conditioned(space, weights, genome)

    # Fitted statistics are good as they are: on people whom training never saw, those that learned on may be worse.
    return Phase(1, how.settle, norm=norm, judge=norm, mixes=False, may_stay=True)


def train(
    space: SearchSpace,
    how: TrainingSection,
    phase: Phase,
    data: TrainingData,
    initial: Callable[[], Weights],
    *,
    checkpoint: Path,
    recipe: str,
    around: Surroundings,
    report: Callable[[EpochReport], None] = lambda _: None,
    keep_last: bool = False,
) -> Weights:
    """Run one phase and return the weights that validated best, or the last.

    Args:
        space: The search space.
        how: The section of the recipe.
        phase: Which phase.
        data: Rows.
        initial: Makes the weights to start from, where there is no checkpoint.
        checkpoint: Written after every validation; if it is there, training goes on from it.
        recipe: Digest of the recipe, kept in the checkpoint.
        around: Where it runs.
        report: Called after every epoch.
        keep_last: Whether the last weights are taken, whatever they validate: where the validation
            rows are there to test on, nothing may be chosen on them.

    Raises:
        StageOverError: If the stage is over; the checkpoint holds where it stopped.
        WorkbenchError: If a loss stops being a number; the checkpoint keeps the last good
            state. Also if the checkpoint cannot be resumed.
    """
    around.team.check(batch=how.batch, subnet_rows=how.subnet_rows)
    state = _begun(checkpoint, recipe, initial)
    if not state.weights:
        return state.best
    place = around.arithmetic.place_all
    weights = {name: tensor.requires_grad_(phase.learns(name)) for name, tensor in place(state.weights).items()}
    state.weights, state.average = weights, place(state.average)
    optimizer = _optimizer(weights, how)
    restore_moments(optimizer, weights, place(state.moments))

    stepper = Stepper(space, how, around.arithmetic, around.team, phase.alone, phase.how.subnet_weight)
    judge = _Judge(space, phase, data, around.arithmetic, how)
    batches = data.batches if phase.mixes else data.batches.unmixed()
    steps = max(1, len(batches) // how.batch)
    started_s, spent_before_s = around.clock(), state.spent_s
    if phase.may_stay and state.epoch == 0 < phase.how.epochs and not keep_last:
        started_s += pause_while_measured(around.lock)
        state.take(around.team.agreed(judge.percent(state.average)))
    while state.epoch < phase.how.epochs and (keep_last or not _settled(state, how)):
        # Seeded by epoch, so that a resumed run draws what an uninterrupted one would.
        rng = np.random.default_rng([how.seed, phase.number, state.epoch])
        order = rng.permutation(len(batches))
        losses = []
        for step in range(steps):
            # The time that somebody measures is not time of the training.
            started_s += pause_while_measured(around.lock)
            done = state.epoch * steps + step
            rows = order[step * how.batch : (step + 1) * how.batch]
            x, targets = batches.batch(rows, rng)
            for group in optimizer.param_groups:
                group["lr"] = phase.how.learning_rate * _schedule(done / (phase.how.epochs * steps))
            optimizer.zero_grad()
            loss = stepper.step(weights, phase.norm, x, targets, rng)
            if not isfinite(loss.taught + loss.distilled):
                raise WorkbenchError(
                    f"the loss is no number at step {step} of epoch {state.epoch + 1}: lower learning_rate or look "
                    f"at rows {rows[:4].tolist()}...; the last good state is {checkpoint}, if one was reached"
                )
            optimizer.step()
            # The average forgets quickly while it is young, or it would remember the start.
            _follow(state.average, weights, min(how.average, (1 + done) / (10 + done)))
            losses.append(loss.taught)
        state.epoch += 1
        over = bool(around.team.agreed(float(around.clock() >= around.ends_s)))
        percent = None
        if over or state.epoch % how.validate_every == 0 or state.epoch == phase.how.epochs:
            percent = around.team.agreed(judge.percent(state.average))
            state.take(percent, always=keep_last)
            state.moments = moments_of(optimizer, weights)
            state.spent_s = spent_before_s + around.clock() - started_s
            if around.team.leads:
                state.save(checkpoint)
        report(EpochReport(state.epoch, float(np.mean(losses)), percent))
        if over and state.epoch < phase.how.epochs:
            raise StageOverError(
                f"the stage is over at epoch {state.epoch} of {phase.how.epochs}; "
                f"with --resume the next one goes on from {checkpoint}"
            )
    return {name: tensor.detach().cpu().contiguous() for name, tensor in state.best.items()}


def _begun(checkpoint: Path, recipe: str, initial: Callable[[], Weights]) -> Checkpoint:
    if checkpoint.exists():
        return Checkpoint.load(checkpoint, recipe)
    weights = initial()
    return Checkpoint(recipe, 0, weights, _copy(weights), _copy(weights), -1.0, {})


def _settled(state: Checkpoint, how: TrainingSection) -> bool:
    """Whether validation has stood still for so long that the phase ends early."""
    return 0 < how.patience <= state.stale


def accuracy_percent(logits: Tensor, labels: Tensor) -> float:
    """Share of right answers, in percent."""
    return float((logits.argmax(dim=1) == labels).double().mean() * 100)


def _optimizer(weights: Weights, how: TrainingSection) -> torch.optim.Optimizer:
    learning = {name: tensor for name, tensor in weights.items() if tensor.requires_grad}
    decayed = [tensor for name, tensor in learning.items() if name.endswith(".weight")]
    plain = [tensor for name, tensor in learning.items() if not name.endswith(".weight")]
    groups = [{"params": decayed, "weight_decay": how.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW([group for group in groups if group["params"]], fused=True)


def _schedule(progress: float) -> float:
    """Share of the learning rate: a short linear rise, then half a cosine down to a hundredth."""
    if progress < WARM_UP:
        return progress / WARM_UP + 1e-3
    along = (progress - WARM_UP) / (1.0 - WARM_UP)
    return 0.01 + 0.99 * 0.5 * (1.0 + cos(pi * along))


@dataclass(frozen=True, slots=True)
class _Judge:
    """Validates the full network, and in most phases the smallest and some random subnets."""

    space: SearchSpace
    phase: Phase
    data: TrainingData
    arithmetic: Arithmetic
    how: TrainingSection

    @torch.no_grad()
    def percent(self, weights: Weights) -> float:
        """Their mean accuracy on the validation rows, in percent."""
        space, labels = self.space, self.data.validation_y
        genomes = [space.full()]
        if not self.phase.alone:
            drawn = diverse(space, np.random.default_rng(self.how.seed), self.how.validate_subnets)
            genomes += [space.smallest(), *drawn]
        right = 0
        for genome in genomes:
            norm = self.phase.judge(weights, genome)
            for first in range(0, len(labels), VALIDATION_BATCH):
                part = slice(first, first + VALIDATION_BATCH)
                with self.arithmetic.autocast():
                    x = self.arithmetic.place(self.data.validation_x[part])
                    answers = forward(space, weights, genome, x, norm).argmax(dim=1).cpu()
                right += int((answers == labels[part]).sum())
        return 100.0 * right / (len(labels) * len(genomes))


def _copy(weights: Weights) -> Weights:
    return {name: tensor.detach().clone() for name, tensor in weights.items()}


@torch.no_grad()
def _follow(average: Weights, weights: Weights, decay: float) -> None:
    for name, tensor in weights.items():
        average[name].lerp_(tensor, 1.0 - decay)
