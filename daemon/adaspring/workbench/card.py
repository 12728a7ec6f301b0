"""The model card: what a bundle is, where it comes from, how good it is and what it may be used for."""

from __future__ import annotations

from adaspring.bundle import Manifest
from adaspring.space import SearchSpace
from adaspring.workbench.accuracy import Judgement
from adaspring.workbench.evaluate import Evaluation, Gap, SubnetReport
from adaspring.workbench.promise import Promise
from adaspring.workbench.recipe import Recipe


def write_card(
    recipe: Recipe, manifest: Manifest, judgement: Judgement, promise: Promise, evaluation: Evaluation
) -> str:
    """The card as Markdown; every figure comes from the evaluation or the manifest."""
    sections = (
        _what(recipe, manifest),
        _accuracy(recipe, evaluation, judgement),
        _promise(recipe, promise),
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

- **Frame**: tensor `{frame.name}`, float32, shape {list(frame.shape)}, unscaled: {frame.description}.
- **Channels**: {", ".join(frame.channels)}.
- **Answer**: tensor `{answer.name}`, one logit for each of {labels}."""


def _accuracy(recipe: Recipe, evaluation: Evaluation, judgement: Judgement) -> str:
    random, front = evaluation.random, evaluation.front
    rows = (
        _subnet("full", evaluation.full),
        _subnet("median size", evaluation.median),
        _subnet("smallest", evaluation.smallest),
    )
    table = "\n".join(rows)
    by_depth = "\n".join(_gap(f"of these with {blocks} blocks", gap) for blocks, gap in evaluation.by_depth.items())
    return f"""## Accuracy

On the {evaluation.rows:,} {recipe.data.rows} of the test split, read when a training ends: no choice is made on it.
Subnets are assembled as the daemon assembles them.

| subnet | accuracy | recalibrated | MACs | parameters | peak activations |
| --- | --- | --- | --- | --- | --- |
{table}

*Recalibrated* is the same subnet with its batch norm statistics computed anew from 2,048 training rows. What
subnets lose by doing without{_some(evaluation)}, in points (negative: they gain):

| subnets | count | median | 95th percentile | worst | median accuracy | least accuracy |
| --- | --- | --- | --- | --- | --- | --- |
{_gap("random", random)}
{by_depth}
{_gap("front of predicted accuracy against MACs", front)}

The accuracy tables were fitted to {judgement.subnets:,} subnets measured on validation rows. How well they predict
subnets that the fit had not seen, with 95 % intervals, beside what a perfect predictor would reach on as many rows:

| rows | subnets | mean error, points | perfect | Kendall tau | perfect |
| --- | --- | --- | --- | --- | --- |
{_judged("validation", judgement)}
{_judged("test", evaluation.predictor)}{_int8(evaluation)}"""


def _some(evaluation: Evaluation) -> str:
    return "" if evaluation.many_rows in {0, evaluation.rows} else f", on {evaluation.many_rows:,} of these rows"


def _promise(recipe: Recipe, promise: Promise) -> str:
    (first, second), (better, best_again) = promise.rows, promise.front_percent
    random, random_again = promise.random_percent
    whose = f" (of {recipe.data.groups} {', '.join(map(str, promise.groups))})" if promise.groups else ""
    return f"""## What is promised

A search goes where tables promise most, and so to subnets that they flatter. To see by how much, tables were fitted to
{first:,} of the validation rows{whose} alone. The front that they promised, accuracy against MACs and
parameters, was measured on those rows and again on the other {second:,}. Those may be harder or easier, as random
subnets show.

| subnets | promised | on the rows of the fit | again, on the others |
| --- | --- | --- | --- |
| the front, {promise.members} | {promise.promised_percent:.2f} % | {better:.2f} % | {best_again:.2f} % |
| random | | {random:.2f} % | {random_again:.2f} % |

Against random subnets the front is {better - random:+.2f} points on the rows that chose it, and \
{best_again - random_again:+.2f} on those that did not."""


def _int8(evaluation: Evaluation) -> str:
    """What int8 costs, where the bundle offers it."""
    report = evaluation.int8
    if report is None:
        return ""
    gap, some = report.random, _some(evaluation)
    return f"""

In int8 the full network reaches {report.full_percent:.2f} % on all rows. What random subnets lose in int8, held
against themselves in float32{some}, in points (*recalibrated* above is in float32 for every subnet):

| subnets | count | median | 95th percentile | worst | median accuracy | least accuracy |
| --- | --- | --- | --- | --- | --- | --- |
{_gap("random, in int8", gap)}"""


def _judged(split: str, judgement: Judgement) -> str:
    (least, most), (low, high) = judgement.error_interval, judgement.tau_interval
    return (
        f"| {judgement.rows:,} {split} rows | {judgement.subnets:,} "
        f"| {judgement.error_points:.2f} [{least:.2f}, {most:.2f}] | {judgement.ceiling_error_points:.2f} "
        f"| {judgement.kendall_tau:.2f} [{low:.2f}, {high:.2f}] | {judgement.ceiling_tau:.2f} |"
    )


def _training(recipe: Recipe, manifest: Manifest) -> str:
    training = manifest.training
    return f"""## Training

`{training.command}`

{training.epochs} epochs on {training.data}; {training.duration_s / 60:.0f} minutes, seed {training.seed}, PyTorch \
{training.torch}. All choices were made on {_held_out(recipe)}, held out of the training split."""


def _held_out(recipe: Recipe) -> str:
    how = recipe.data.validation
    if how.groups:
        return f"{recipe.data.groups} {', '.join(map(str, how.groups))}"
    return f"{how.share:.0%} of the {recipe.data.rows} of each class"


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
