from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import torch

from adaspring.bundle import Bundle
from adaspring.errors import RecipeError
from adaspring.space import SearchSpace, SpaceSpec, lower, lower_all
from adaspring.workbench.build import digest_of
from adaspring.workbench.recipe import PhaseSection, Recipe, TrainingSection
from adaspring.workbench.supernet import Weights, initial_weights
from adaspring.workbench.transfer import beginning, source_of, taken_over

PHASE = PhaseSection(epochs=1, learning_rate=1e-3)
HOW = TrainingSection(
    seed=5,
    ensemble=PHASE,
    settle=PHASE,
    batch=8,
    random_subnets=1,
    subnet_rows=4,
    feature_weight=1.0,
    identity=0.5,
    weight_decay=0.0,
    label_smoothing=0.0,
    average=0.9,
    validate_every=1,
    validate_subnets=1,
)


def of(spec: SpaceSpec, **changes: object) -> SearchSpace:
    """A space that differs."""
    return SearchSpace(msgspec.structs.replace(spec, **changes))


def ones(space: SearchSpace) -> Weights:
    """Weights of a network that was trained elsewhere: easily told from random ones."""
    return {name: torch.full_like(tensor, 7.0) for name, tensor in initial_weights(space, 1, 0.0).items()}


def wider(spec: SpaceSpec, slot: int, width: int) -> SearchSpace:
    """The same space with another width in one slot."""
    slots = list(spec.slots)
    slots[slot] = msgspec.structs.replace(slots[slot], width=width)
    return of(spec, slots=tuple(slots))


def test_the_same_space_takes_all_but_the_classifier(residual_image_spec: SpaceSpec) -> None:
    """Classes are others, all else is the same."""
    space = SearchSpace(residual_image_spec)
    drawn = initial_weights(space, 2, 0.5)
    weights, taken = taken_over(space, drawn, ones(space))
    assert taken == len(lower_all(space))
    for name, tensor in weights.items():
        expected = drawn[name] if name.startswith("head.") else torch.full_like(tensor, 7.0)
        torch.testing.assert_close(tensor, expected)


@pytest.mark.parametrize("width", [8, 128])
def test_of_another_width_the_first_channels_are_taken(residual_image_spec: SpaceSpec, width: int) -> None:
    """The most important ones; the drawn weights are left alone."""
    space = SearchSpace(residual_image_spec)
    last = space.slot_count - 1
    source = wider(residual_image_spec, last, width)
    drawn = initial_weights(space, 2, 0.5)
    before = {name: tensor.clone() for name, tensor in drawn.items()}
    weights, _ = taken_over(space, drawn, ones(source))
    layers = [layer for block in lower(space, space.full()) if block.slot == last for layer in block.layers]
    for layer in layers:
        name = f"{layer.name}.gamma"
        both = min(width, len(drawn[name]))
        assert (weights[name][:both] == 7.0).all()
        torch.testing.assert_close(weights[name][both:], drawn[name][both:])
    for name, tensor in drawn.items():
        torch.testing.assert_close(tensor, before[name])


def test_another_kernel_or_another_input_takes_nothing_there(image_spec: SpaceSpec) -> None:
    """What a layer reads is not the same thing: the first layer starts at random, those behind it do not."""
    space = of(image_spec, input_channels=image_spec.input_channels + 1)
    drawn = initial_weights(space, 2, 0.5)
    weights, taken = taken_over(space, drawn, ones(SearchSpace(image_spec)))
    assert taken > 0
    first = lower(space, space.full())[0].layers[0]
    torch.testing.assert_close(weights[f"{first.name}.weight"], drawn[f"{first.name}.weight"])

    kernels = tuple(msgspec.structs.replace(slot, kernel=slot.kernel + 2) for slot in image_spec.slots)
    other = of(image_spec, slots=kernels)
    name = f"{lower(other, other.full())[0].layers[0].name}.weight"
    drawn = initial_weights(other, 2, 0.5)
    weights, _ = taken_over(other, drawn, ones(SearchSpace(image_spec)))
    torch.testing.assert_close(weights[name], drawn[name])


def test_a_space_of_other_dimensions_is_refused(small_bundle_folder: Path, image_spec: SpaceSpec) -> None:
    """Layers of a network over time fit no image."""
    space, start = SearchSpace(image_spec), str(small_bundle_folder)
    with pytest.raises(RecipeError, match=r"no layer of .* fits"):
        beginning(space, msgspec.structs.replace(HOW, start=start))


def test_a_start_that_is_no_bundle_is_named(tmp_path: Path, image_spec: SpaceSpec) -> None:
    """With the key that names it."""
    how = msgspec.structs.replace(HOW, start=str(tmp_path / "nowhere"))
    with pytest.raises(RecipeError, match=r"\[training\] start = .*nowhere"):
        beginning(SearchSpace(image_spec), how)
    assert source_of(HOW) is None


def test_a_checkpoint_of_another_start_is_not_gone_on_from(
    recipe: Recipe, make_bundle: Callable[[SpaceSpec, Path], Bundle], tmp_path: Path
) -> None:
    """What is in the bundle counts, not where it lies; and what it holds is what training starts from."""
    make_bundle(recipe.space, tmp_path / "one")
    shutil.copytree(tmp_path / "one", tmp_path / "moved")
    wide = msgspec.structs.replace(recipe.space.slots[0], width=24)
    make_bundle(msgspec.structs.replace(recipe.space, slots=(wide, *recipe.space.slots[1:])), tmp_path / "other")
    digests = {
        start: digest_of(
            msgspec.structs.replace(recipe, training=msgspec.structs.replace(recipe.training, start=start)), "backbone"
        )
        for start in ("", str(tmp_path / "one"), str(tmp_path / "moved"), str(tmp_path / "other"))
    }
    nothing, one, moved, other = digests.values()
    assert one == moved
    assert len({nothing, one, other}) == 3
