"""The model card: what a bundle is, where it comes from, how good it is and what it may be used for."""

from __future__ import annotations

from adaspring.bundle import AccuracyTables, Manifest
from adaspring.space import SearchSpace
from adaspring.workbench.evaluate import Evaluation, Gap, SubnetReport
from adaspring.workbench.recipe import Recipe


def write_card(recipe: Recipe, manifest: Manifest, accuracy: AccuracyTables, evaluation: Evaluation) -> str:
    """The card as Markdown; every figure comes from the evaluation or the manifest."""
    sections = (
        _what(recipe, manifest),
        _accuracy(evaluation, accuracy),
        _training(recipe, manifest),
        f"## Limits\n\n{recipe.limits.strip()}",
        _licence(recipe),
    )
    return "\n\n".join(sections) + "\n"


def _what(recipe: Recipe, manifest: Manifest) -> str:
    frame, answer = manifest.input, manifest.output
    labels = ", ".join(label.lower().replace("_", " ") for label in answer.labels)
    count = SearchSpace(recipe.space).subnet_count
    return f"""# {recipe.title}

Bundle `{manifest.name}`, version {manifest.version}: one set of weights for {count:,} subnets.

- **Frame**: tensor `{frame.name}`, float32, shape {list(frame.shape)}, raw units: {frame.description}.
- **Channels**: {", ".join(frame.channels)}.
- **Answer**: tensor `{answer.name}`, one logit for each of {labels}."""


def _accuracy(evaluation: Evaluation, accuracy: AccuracyTables) -> str:
    random, front = evaluation.random, evaluation.front
    rows = (
        _subnet("full", evaluation.full),
        _subnet("median size", evaluation.median),
        _subnet("smallest", evaluation.smallest),
    )
    table = "\n".join(rows)
    return f"""## Accuracy

On the {evaluation.rows:,} windows of the test split, from volunteers of whom nothing was seen in training or
selection. The test split was read once, for this card. Subnets are assembled as the daemon assembles them.

| subnet | accuracy | recalibrated | MACs | parameters | peak activations |
| --- | --- | --- | --- | --- | --- |
{table}

*Recalibrated* is the same subnet with its batch norm statistics computed anew from 2,048 training windows. What
subnets lose by doing without, in points (negative: they gain):

| subnets | count | median | 95th percentile | worst | median accuracy | least accuracy |
| --- | --- | --- | --- | --- | --- | --- |
{_gap("random", random)}
{_gap("front of predicted accuracy against MACs", front)}

The accuracy tables were fitted to {accuracy.subnets:,} subnets measured on the validation volunteers:

| subnets that the fit had not seen | mean error | Kendall tau |
| --- | --- | --- |
| validation volunteers | {accuracy.error_points:.2f} points | {accuracy.kendall_tau:.2f} |
| test volunteers | {evaluation.predictor_error_points:.2f} points | {evaluation.predictor_kendall_tau:.2f} |"""


def _training(recipe: Recipe, manifest: Manifest) -> str:
    training = manifest.training
    held = ", ".join(str(volunteer) for volunteer in recipe.data.validation_volunteers)
    return f"""## Training

`{training.command}`

{training.epochs} epochs on {training.data}; {training.duration_s / 60:.0f} minutes, seed {training.seed}, PyTorch \
{training.torch}. All choices were made on volunteers {held}, who were held out of the training split."""


def _licence(recipe: Recipe) -> str:
    return f"""## Data and licence

Data: {recipe.data.source}.

These weights were made from that data and, like the data, stand outside the licence of the project.
{recipe.data.licence} Whoever publishes results obtained with them must cite:

> {recipe.data.attribution.strip()}"""


def _subnet(title: str, subnet: SubnetReport) -> str:
    figures = f"{subnet.instant_percent:.2f} % | {subnet.recalibrated_percent:.2f} % | {subnet.macs:,} "
    return f"| {title}: `{subnet.name}` | {figures}| {subnet.parameters:,} | {subnet.peak_activation_elements:,} |"


def _gap(title: str, gap: Gap) -> str:
    lost = f"{gap.median:.2f} | {gap.p95:.2f} | {gap.worst:.2f}"
    return f"| {title} | {gap.subnets} | {lost} | {gap.instant_median:.2f} % | {gap.instant_least:.2f} % |"
