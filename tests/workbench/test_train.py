from dataclasses import replace
from math import inf
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from adaspring.errors import StageOverError, WorkbenchError
from adaspring.space import SearchSpace, lower
from adaspring.workbench.augment import Batches
from adaspring.workbench.augments import InertialAugment
from adaspring.workbench.build import trained
from adaspring.workbench.checkpoint import Checkpoint
from adaspring.workbench.data import channel_scale, load_rows
from adaspring.workbench.recipe import PhaseSection, Recipe
from adaspring.workbench.supernet import Weights, initial_weights
from adaspring.workbench.train import (
    EpochReport,
    Surroundings,
    TrainingData,
    backbone_phase,
    ensemble_phase,
    train,
)


@pytest.fixture
def data(data_path: Path, recipe: Recipe) -> TrainingData:
    """The tiny rows, scaled."""
    rows, validation = (load_rows(data_path, recipe, split) for split in ("train", "validation"))
    batches = Batches.of(rows, 3, channel_scale(rows), recipe.training.augment)
    return TrainingData(
        batches, batches.scaled(rows.inputs()), batches.scaled(validation.inputs()), torch.from_numpy(validation.y)
    )


def _train(
    recipe: Recipe, data: TrainingData, checkpoint: Path, epochs: int, around: Surroundings | None = None
) -> tuple[Weights, list[EpochReport]]:
    space, reports = SearchSpace(recipe.space), []
    # The schedule is that of the whole phase, wherever a run is cut.
    phase = ensemble_phase(space, recipe.training, data, Surroundings())

    def report(epoch: EpochReport) -> None:
        reports.append(epoch)
        if epoch.epoch == epochs:
            raise _CutError

    try:
        weights = train(
            space,
            recipe.training,
            phase,
            data,
            lambda: initial_weights(space, recipe.training.seed, recipe.training.identity),
            checkpoint=checkpoint,
            recipe="digest",
            around=around or Surroundings(),
            report=report,
        )
    except _CutError:
        weights = {}
    return weights, reports


class _CutError(Exception):
    """Stands for a power cut."""


def test_the_loss_falls_and_the_best_weights_come_back(recipe: Recipe, data: TrainingData, tmp_path: Path) -> None:
    """A few epochs on easy data are enough to see it learn."""
    weights, reports = _train(recipe, data, tmp_path / "c.safetensors", epochs=99)
    assert reports[-1].loss < 0.8 * reports[0].loss
    assert [1, 3] == [epoch.epoch for epoch in reports if epoch.validation_percent is None]
    best = Checkpoint.load(tmp_path / "c.safetensors", "digest")
    assert max(epoch.validation_percent or 0 for epoch in reports) == best.best_percent
    assert best.best_percent > 60
    torch.testing.assert_close(best.best, dict(weights))


def test_the_backbone_learns_alone(recipe: Recipe, data: TrainingData, tmp_path: Path) -> None:
    """The full network gets better and nothing else is touched; it alone is validated."""
    space = SearchSpace(recipe.space)
    start = initial_weights(space, recipe.training.seed, recipe.training.identity)
    reports: list[EpochReport] = []
    weights = train(
        space,
        recipe.training,
        backbone_phase(space, PhaseSection(epochs=4, learning_rate=1e-2), data, Surroundings()),
        data,
        lambda: {name: tensor.clone() for name, tensor in start.items()},
        checkpoint=tmp_path / "c.safetensors",
        recipe="digest",
        around=Surroundings(),
        report=reports.append,
    )
    assert reports[-1].loss < 0.8 * reports[0].loss
    full = {layer.name for block in lower(space, space.full()) for layer in block.layers} | {"head"}
    for name, tensor in weights.items():
        learns = name.rpartition(".")[0] in full
        assert learns is not torch.equal(tensor, start[name]), name


def test_a_resumed_run_ends_where_an_uninterrupted_one_does(recipe: Recipe, data: TrainingData, tmp_path: Path) -> None:
    """Cut behind epoch 3, gone on from the checkpoint of epoch 2: the same weights, bit for bit."""
    whole, _ = _train(recipe, data, tmp_path / "whole.safetensors", epochs=99)
    _train(recipe, data, tmp_path / "cut.safetensors", epochs=3)
    resumed, reports = _train(recipe, data, tmp_path / "cut.safetensors", epochs=99)
    assert [3, 4] == [epoch.epoch for epoch in reports]
    for name, tensor in whole.items():
        assert torch.equal(tensor, resumed[name]), name


def test_a_nan_stops_training_and_leaves_the_last_good_state(
    recipe: Recipe, data: TrainingData, tmp_path: Path
) -> None:
    """The message names step and epoch; the checkpoint can be resumed."""
    checkpoint = tmp_path / "c.safetensors"
    _train(recipe, data, checkpoint, epochs=3)
    good = checkpoint.read_bytes()
    x = data.batches.rows.x.copy()
    x[0] = np.nan
    broken = replace(data.batches, rows=replace(data.batches.rows, x=x))
    with pytest.raises(WorkbenchError, match=r"the loss is no number at step \d+ of epoch 3"):
        _train(recipe, replace(data, batches=broken), checkpoint, epochs=99)
    assert good == checkpoint.read_bytes()


def test_a_trimmed_checkpoint_gives_what_its_phase_came_to_and_trains_no_more(
    recipe: Recipe, data: TrainingData, tmp_path: Path
) -> None:
    """It holds the best weights alone, bit for bit, and when it is trimmed again it stays as it is."""
    checkpoint = tmp_path / "c.safetensors"
    weights, _ = _train(recipe, data, checkpoint, epochs=99)
    whole = checkpoint.stat().st_size
    Checkpoint.trim(checkpoint, "digest")
    trimmed = checkpoint.read_bytes()
    assert len(trimmed) < whole / 3
    again, reports = _train(recipe, data, checkpoint, epochs=99)
    assert reports == []
    assert all(torch.equal(weights[name], again[name]) for name in weights | again)
    Checkpoint.trim(checkpoint, "digest")
    assert trimmed == checkpoint.read_bytes()


def test_a_checkpoint_of_another_recipe_or_a_torn_one_is_refused(
    recipe: Recipe, data: TrainingData, tmp_path: Path
) -> None:
    """Going on from the wrong weights would be silent otherwise."""
    checkpoint = tmp_path / "c.safetensors"
    how = msgspec.structs.replace(recipe.training, ensemble=PhaseSection(epochs=1, learning_rate=1e-3))
    _train(msgspec.structs.replace(recipe, training=how), data, checkpoint, epochs=99)
    with pytest.raises(WorkbenchError, match="is of another recipe"):
        Checkpoint.load(checkpoint, "other")
    checkpoint.write_bytes(checkpoint.read_bytes()[:100])
    with pytest.raises(WorkbenchError, match="cannot be resumed"):
        Checkpoint.load(checkpoint, "digest")


def test_a_phase_goes_on_though_a_later_one_has_changed(recipe: Recipe, data: TrainingData, tmp_path: Path) -> None:
    """What the earlier phases came to stays; the changed one wants its old checkpoint gone, and is trained anew."""

    def run(recipe: Recipe) -> None:
        space, quiet = SearchSpace(recipe.space), Console(quiet=True)
        trained(recipe, space, data, work=tmp_path, resume=True, console=quiet, around=Surroundings())

    run(recipe)
    earlier = {name: (tmp_path / f"{name}.safetensors").read_bytes() for name in ("backbone", "ensemble")}
    settle = PhaseSection(epochs=3, learning_rate=1e-3, subnet_weight=0.5)
    changed = msgspec.structs.replace(recipe, training=msgspec.structs.replace(recipe.training, settle=settle))
    with pytest.raises(WorkbenchError, match=r"settle.safetensors is of another recipe: remove it"):
        run(changed)
    (tmp_path / "settle.safetensors").unlink()
    run(changed)
    assert earlier == {name: (tmp_path / f"{name}.safetensors").read_bytes() for name in earlier}


def test_settling_can_leave_the_weights_alone(recipe: Recipe, data: TrainingData, tmp_path: Path) -> None:
    """With `only_statistics` every convolution, norm and the classifier come out as the ensemble phase left them."""
    settle = PhaseSection(epochs=2, learning_rate=1e-2, only_statistics=True)
    how = msgspec.structs.replace(recipe.training, settle=settle)
    recipe, quiet = msgspec.structs.replace(recipe, training=how), Console(quiet=True)
    space, around = SearchSpace(recipe.space), Surroundings()
    weights, _ = trained(recipe, space, data, work=tmp_path, resume=False, console=quiet, around=around, keep_last=True)
    before = load_file(tmp_path / "ensemble.safetensors")
    learned = [name for name in weights if name.endswith((".mean", ".log_std"))]
    for name in weights.keys() - set(learned):
        torch.testing.assert_close(before[f"best/{name}"], weights[name], rtol=0, atol=0)
    # Fitted statistics that nothing was taught would be those that another fit gives.
    unsettled = msgspec.structs.replace(how, settle=msgspec.structs.replace(settle, epochs=0))
    recipe = msgspec.structs.replace(recipe, training=unsettled)
    (tmp_path / "settle.safetensors").unlink()
    fitted, _ = trained(recipe, space, data, work=tmp_path, resume=True, console=quiet, around=around)
    assert any(not torch.equal(fitted[name], weights[name]) for name in learned)


def test_settling_that_does_harm_leaves_what_was_fitted(recipe: Recipe, data: TrainingData, tmp_path: Path) -> None:
    """The statistics that a settle phase starts from are validated too, and kept where learning on makes them worse."""

    def statistics(settle: PhaseSection, work: Path) -> dict[str, torch.Tensor]:
        how = msgspec.structs.replace(recipe.training, settle=settle)
        changed, quiet = msgspec.structs.replace(recipe, training=how), Console(quiet=True)
        space, around = SearchSpace(recipe.space), Surroundings()
        return trained(changed, space, data, work=work, resume=False, console=quiet, around=around)[0]

    fitted = statistics(PhaseSection(epochs=0, learning_rate=0.0), tmp_path / "fitted")
    harmed = statistics(PhaseSection(epochs=2, learning_rate=0.3, only_statistics=True), tmp_path / "harmed")
    for name, tensor in fitted.items():
        torch.testing.assert_close(tensor, harmed[name], rtol=0, atol=0)


def test_a_stage_that_is_over_leaves_a_checkpoint_to_go_on_from(
    recipe: Recipe, data: TrainingData, tmp_path: Path
) -> None:
    """A stage of no minutes ends behind its first epoch; the stages together train what one would."""
    whole, _ = _train(recipe, data, tmp_path / "whole.safetensors", epochs=99)
    for epoch in (1, 2, 3):
        with pytest.raises(StageOverError, match=f"the stage is over at epoch {epoch} of 4"):
            _train(recipe, data, tmp_path / "staged.safetensors", epochs=99, around=Surroundings(ends_s=-inf))
    staged, reports = _train(recipe, data, tmp_path / "staged.safetensors", epochs=99)
    assert [4] == [epoch.epoch for epoch in reports]
    final = Checkpoint.load(tmp_path / "staged.safetensors", "digest")
    whole_final = Checkpoint.load(tmp_path / "whole.safetensors", "digest")
    assert whole.keys() == staged.keys()
    for name, tensor in whole_final.weights.items():
        assert torch.equal(tensor, final.weights[name]), name


def test_training_ends_early_where_validation_stands_still(recipe: Recipe, data: TrainingData, tmp_path: Path) -> None:
    """A learning rate of next to nothing brings nothing better: two validations later the phase ends."""
    still = PhaseSection(epochs=50, learning_rate=1e-12)
    how = msgspec.structs.replace(recipe.training, ensemble=still, validate_every=1, patience=2)
    _, reports = _train(msgspec.structs.replace(recipe, training=how), data, tmp_path / "c.safetensors", epochs=99)
    assert len(reports) < 20


def test_shifted_windows_are_cut_from_the_recording(data_path: Path, recipe: Recipe) -> None:
    """A shifted window holds samples of its recording in their order, and windows without a successor stay."""
    rows = load_rows(data_path, recipe, "train")
    windows = Batches.of(rows, 3, np.ones(3, dtype=np.float32), InertialAugment(shift=True))
    some = np.array([0, 7])
    first, last = windows.batch(some, np.random.default_rng(3))[0].numpy()
    recording = np.concatenate([rows.x[0], rows.x[1][:, 16:]], axis=1)
    assert any(np.array_equal(recording[:, start : start + 32], first) for start in range(17))
    assert 7 == windows.following[7]
    np.testing.assert_array_equal(rows.x[7], last)


def test_turning_the_sensor_keeps_the_strength_of_a_signal(data_path: Path, recipe: Recipe) -> None:
    """A rotation mixes the axes in raw units and changes no length."""
    rows = load_rows(data_path, recipe, "train")
    scale = np.array([1.0, 2.0, 4.0], dtype=np.float32)
    windows = Batches.of(rows, 3, scale, InertialAugment(rotation_deg=30.0))
    turned = windows.batch(np.arange(4), np.random.default_rng(0))[0] / torch.from_numpy(scale)[:, None]
    assert not np.allclose(rows.x[:4], turned.numpy(), atol=0.05)
    np.testing.assert_allclose(np.linalg.norm(rows.x[:4], axis=1), turned.norm(dim=1).numpy(), rtol=1e-4)
