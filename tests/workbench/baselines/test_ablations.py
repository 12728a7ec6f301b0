from __future__ import annotations

import msgspec

from adaspring.space import SearchSpace
from adaspring.workbench.baselines.ablations import ablations
from adaspring.workbench.recipe import Recipe


def test_every_part_is_left_out_by_itself_at_the_same_budget(recipe: Recipe) -> None:
    """As many epochs each, and nothing changed but what the title says."""
    found = {ablation.name: ablation.recipe for ablation in ablations(recipe)}
    assert {recipe.training.epochs} == {each.training.epochs for each in found.values()}
    assert not found["without-distillation"].training.distil
    assert found["without-transformation"].training.backbone is None
    assert recipe.space == found["without-transformation"].space
    bank = found["without-statistics-bank"]
    assert 0 == bank.training.settle.epochs
    assert recipe.training.backbone == bank.training.backbone
    groups = SearchSpace(found["without-elite-groups"].space)
    # Two widths of a convolution, two operators at full width; the middle slot may be skipped.
    assert 4 * 5 * 3 * 2 == groups.subnet_count
    assert SearchSpace(recipe.space).full().tolist() == groups.full().tolist()


def test_a_recipe_is_not_asked_for_what_it_does_not_have(recipe: Recipe) -> None:
    """Without distillation and backbone there is nothing of them to leave out."""
    training = msgspec.structs.replace(recipe.training, distil=False, backbone=None)
    found = {ablation.name for ablation in ablations(msgspec.structs.replace(recipe, training=training))}
    assert {"without-statistics-bank", "without-elite-groups"} == found
