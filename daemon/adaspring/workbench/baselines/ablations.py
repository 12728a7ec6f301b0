"""What each part of the training is worth: the recipe without it, at the same budget of epochs.

int8 needs no training of its own: the comparison prints every pair in float32 and in our own precision.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec
from rich.console import Console

from adaspring.bundle import Bundle
from adaspring.space import SearchSpace, SpaceSpec
from adaspring.workbench.build import build
from adaspring.workbench.data import load_rows
from adaspring.workbench.evaluate import Evaluation, evaluate
from adaspring.workbench.recipe import PhaseSection, Recipe, TrainingSection
from adaspring.workbench.train import Surroundings

#: Strength of a ridge that leaves the rows of statistics that a genome selects at zero.
ONE_ROW = 1e12
_EVALUATION = "evaluation.json"


@dataclass(frozen=True, slots=True)
class Ablation:
    """A recipe without one of its parts.

    Attributes:
        name: Names its folder.
        title: For a person.
        recipe: What is trained.
    """

    name: str
    title: str
    recipe: Recipe


def ablations(recipe: Recipe) -> tuple[Ablation, ...]:
    """The recipe without each part that it has."""
    how = recipe.training
    found = []
    if how.distil:
        labels = msgspec.structs.replace(how, distil=False)
        found.append(_without("distillation", recipe, training=labels))
    if how.backbone is not None:
        found.append(_without("transformation", recipe, training=without_backbone(how)))
    statistics = msgspec.structs.replace(recipe.statistics, ridge=ONE_ROW)
    # The settle phase would learn the rows back.
    unsettled = msgspec.structs.replace(
        how,
        ensemble=_longer(how.ensemble, how.settle),
        settle=msgspec.structs.replace(how.settle, epochs=0),
    )
    found.append(_without("statistics bank", recipe, training=unsettled, statistics=statistics))
    alone = _operators_alone(recipe.space)
    if SearchSpace(alone).subnet_count < SearchSpace(recipe.space).subnet_count:
        found.append(_without("elite groups", recipe, space=alone))
    return tuple(found)


def without_backbone(training: TrainingSection) -> TrainingSection:
    """The same budget with no backbone phase: its epochs go to the ensemble phase."""
    if training.backbone is None:
        return training
    return msgspec.structs.replace(training, ensemble=_longer(training.ensemble, training.backbone), backbone=None)


def train_ablations(recipe: Recipe, data: Path, work: Path, *, console: Console, around: Surroundings) -> int:
    """Train and evaluate every ablation that is not there yet; returns how many there are.

    Args:
        recipe: The recipe of the task.
        data: The data file.
        work: Folder; each ablation has one of its own in it.
        console: Where progress goes.
        around: Where training runs.
    """
    entrants = ablations(recipe)
    for ablation in entrants:
        folder = work / ablation.name
        if (folder / _EVALUATION).exists():
            continue
        console.print(f"training {ablation.title}")
        evaluation = build(
            ablation.recipe,
            data,
            folder / "bundle",
            work=folder,
            command="adaspring baselines --ablations",
            resume=True,
            console=console,
            around=around,
        )
        if evaluation is not None:
            (folder / _EVALUATION).write_bytes(msgspec.json.encode(evaluation))
    return len(entrants)


def ablated(recipe: Recipe, bundle: Bundle, data: Path, work: Path) -> dict[str, Evaluation]:
    """Evaluations on the test split, by title: the bundle first, then every ablation that is trained."""
    found = {}
    for ablation in ablations(recipe):
        path = work / ablation.name / _EVALUATION
        if path.exists():
            found[ablation.title] = msgspec.json.decode(path.read_bytes(), type=Evaluation)
    if not found:
        return {}
    train, test = load_rows(data, recipe, "train"), load_rows(data, recipe, "test")
    return {"as it is": evaluate(bundle, train, test, "test"), **found}


def _without(
    part: str,
    recipe: Recipe,
    *,
    training: TrainingSection | None = None,
    **changes: object,
) -> Ablation:
    changed = msgspec.structs.replace(recipe, training=training or recipe.training, **changes)
    return Ablation(f"without-{part.replace(' ', '-')}", f"without {part}", changed)


def _longer(phase: PhaseSection, by: PhaseSection) -> PhaseSection:
    return msgspec.structs.replace(phase, epochs=phase.epochs + by.epochs)


def _operators_alone(spec: SpaceSpec) -> SpaceSpec:
    """Every operator at its largest ratio, convolutions at all of theirs: no operator is combined with another."""
    groups, slots = {}, []
    for index, slot in enumerate(spec.slots):
        offered = spec.offered(slot)
        groups[f"slot {index}"] = {
            name: ratios if name == "conv" else (max(ratios),) for name, ratios in offered.items()
        }
        slots.append(msgspec.structs.replace(slot, operators=("conv",), ratios=(1.0,), group=f"slot {index}"))
    return msgspec.structs.replace(spec, slots=tuple(slots), groups=groups)
