"""Checkpoints: everything that training needs to go on as if it had never stopped."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path

import safetensors
import torch
from safetensors.torch import load_file, save_file

from adaspring.errors import WorkbenchError
from adaspring.workbench.supernet import Weights

_MOMENTS = ("exp_avg", "exp_avg_sq", "step")


@dataclass(slots=True)
class Checkpoint:
    """State behind an epoch.

    Attributes:
        recipe: Digest of the recipe, so that no other recipe goes on from here.
        epoch: Epochs done.
        weights: Weights as trained; none where the phase is over and the file was trimmed.
        average: Their running average.
        best: The average that validated best.
        best_percent: What it reached.
        moments: State of AdamW, by ``<weight>.<moment>``.
        spent_s: Wall-clock time of training so far, interruptions not counted, in seconds.
        stale: Validations in a row that brought nothing better.
    """

    recipe: str
    epoch: int
    weights: Weights
    average: Weights
    best: Weights
    best_percent: float
    moments: Weights
    spent_s: float = 0.0
    stale: int = 0

    def take(self, percent: float, *, always: bool = False) -> None:
        """Keep the average as the best one where it validated no worse than any before, or always."""
        if always or percent >= self.best_percent:
            self.stale = self.stale + 1 if percent == self.best_percent else 0
            self.best, self.best_percent = {name: tensor.clone() for name, tensor in self.average.items()}, percent
        else:
            self.stale += 1

    def save(self, path: Path) -> None:
        """Write atomically: a crash leaves the old file or the new one."""
        path.parent.mkdir(parents=True, exist_ok=True)
        groups = {"weights": self.weights, "average": self.average, "best": self.best, "moments": self.moments}
        # Cloned, because safetensors refuses tensors that share memory.
        tensors = {
            f"{group}/{name}": tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
            for group, members in groups.items()
            for name, tensor in members.items()
        }
        facts = {
            "recipe": self.recipe,
            "epoch": self.epoch,
            "best_percent": self.best_percent,
            "spent_s": self.spent_s,
            "stale": self.stale,
        }
        unfinished = path.with_suffix(".partial")
        save_file(tensors, unfinished, metadata={"facts": json.dumps(facts)})
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        unfinished.replace(path)

    @staticmethod
    def trim(path: Path, recipe: str) -> None:
        """Leave of a phase that is over what the next one starts from: a fifth of the file, small enough to keep.

        Raises:
            WorkbenchError: As `load`.
        """
        state = Checkpoint.load(path, recipe)
        if state.weights:
            replace(state, weights={}, average={}, moments={}).save(path)

    @staticmethod
    def load(path: Path, recipe: str) -> Checkpoint:
        """Read a checkpoint.

        Raises:
            WorkbenchError: If it is missing, damaged, or of another recipe.
        """
        try:
            tensors = load_file(path)
            with safetensors.safe_open(path, framework="pt") as file:
                facts = json.loads(file.metadata()["facts"])
        except (OSError, KeyError, TypeError, ValueError, safetensors.SafetensorError) as error:
            raise WorkbenchError(f"checkpoint {path} cannot be resumed: {error}") from error
        if facts["recipe"] != recipe:
            raise WorkbenchError(
                f"checkpoint {path} is of another recipe: remove it to train this phase anew, or train without --resume"
            )
        groups: dict[str, Weights] = {"weights": {}, "average": {}, "best": {}, "moments": {}}
        for key, tensor in tensors.items():
            group, _, name = key.partition("/")
            groups[group][name] = tensor
        return Checkpoint(
            recipe=recipe,
            epoch=facts["epoch"],
            best_percent=facts["best_percent"],
            spent_s=facts["spent_s"],
            stale=facts["stale"],
            **groups,
        )


def moments_of(optimizer: torch.optim.Optimizer, weights: Weights) -> Weights:
    """The state of AdamW under the names of the weights."""
    return {
        f"{name}.{moment}": optimizer.state[tensor][moment]
        for name, tensor in weights.items()
        if tensor in optimizer.state
        for moment in _MOMENTS
    }


def restore_moments(optimizer: torch.optim.Optimizer, weights: Weights, moments: Weights) -> None:
    """The inverse of `moments_of`."""
    for name, tensor in weights.items():
        if f"{name}.step" in moments:
            optimizer.state[tensor] = {moment: moments[f"{name}.{moment}"].clone() for moment in _MOMENTS}
