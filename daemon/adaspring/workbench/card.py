"""The model card: what the bundle is, where it comes from, how good it is, and what it may be used for."""

from __future__ import annotations

from adaspring.bundle import Manifest
from adaspring.workbench.evaluate import Evaluation, Gap, SubnetReport
from adaspring.workbench.recipe import Recipe


def write_card(recipe: Recipe, manifest: Manifest, evaluation: Evaluation) -> str:
    """The card as Markdown; every figure comes from the evaluation."""
    labels = ", ".join(label.lower().replace("_", " ") for label in manifest.output.labels)
    return f"""# {recipe.title}

Bundle `{manifest.name}`, version {manifest.version}.

- Input: {manifest.input.description}; tensor `{manifest.input.name}`, shape {list(manifest.input.shape)}, float32, raw units.
- Output: one logit for each of: {labels}.
"""
