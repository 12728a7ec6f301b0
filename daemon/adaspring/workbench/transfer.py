"""A training that starts from another bundle, for tasks with little data: what both networks hold is taken over."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from adaspring.bundle import Bundle, load_bundle
from adaspring.errors import BundleError, RecipeError
from adaspring.space import Layer, SearchSpace, lower_all
from adaspring.workbench.recipe import TrainingSection
from adaspring.workbench.supernet import Weights, initial_weights


def beginning(space: SearchSpace, how: TrainingSection) -> Weights:
    """The weights that a training starts from: random ones, and in their place what another bundle holds.

    Args:
        space: The search space.
        how: The section of the recipe; ``start`` names the other bundle, if there is one.

    Raises:
        RecipeError: If that bundle cannot be read, or no layer of it fits.
    """
    drawn = initial_weights(space, how.seed, how.identity)
    source = source_of(how)
    if source is None:
        return drawn
    weights, taken = taken_over(space, drawn, {name: torch.from_numpy(array) for name, array in source.weights.items()})
    if not taken:
        raise RecipeError(
            f"[training] start: no layer of {how.start} fits this space; a layer fits where slot, operator and kernel "
            "are the same, and, in the first slot, the channels of the input"
        )
    return weights


def source_of(how: TrainingSection) -> Bundle | None:
    """The bundle that a training starts from, if there is one.

    Raises:
        RecipeError: If it cannot be read.
    """
    if not how.start:
        return None
    try:
        return load_bundle(Path(how.start))
    except BundleError as error:
        raise RecipeError(f"[training] start = {how.start!r} is no bundle to start from: {error}") from error


def taken_over(space: SearchSpace, drawn: Weights, source: Weights) -> tuple[Weights, int]:
    """Weights with what a source holds of the same layers.

    Channels of a bundle are in the order of their importance. So of a wider layer the first are taken, and a
    narrower one gives what it has. The classifier stays as it is: its classes are others.

    Args:
        space: The search space.
        drawn: Weights of it.
        source: Weights of another supernet.

    Returns:
        The weights, and how many layers hold something of the source.
    """
    weights, taken = dict(drawn), 0
    for layer in lower_all(space):
        name = f"{layer.name}.weight"
        if name not in source or not _fits(space, layer, drawn[name], source[name]):
            continue
        taken += 1
        for part in ("weight", "gamma", "beta", "bias"):
            name = f"{layer.name}.{part}"
            if name in drawn and name in source:
                both = tuple(slice(min(extents)) for extents in zip(drawn[name].shape, source[name].shape, strict=True))
                weights[name] = drawn[name].clone()
                weights[name][both] = source[name][both]
    return weights, taken


def _fits(space: SearchSpace, layer: Layer, own: Tensor, other: Tensor) -> bool:
    # Behind outputs and inputs stands the kernel, which is the same or no use; so is another sensor.
    reads_input = layer.slot == 0 and own.shape[1] == space.spec.input_channels
    return own.shape[2:] == other.shape[2:] and (not reads_input or own.shape[1] == other.shape[1])
