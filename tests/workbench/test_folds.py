from pathlib import Path

import msgspec
import numpy as np
import pytest

from adaspring.cli.adaspring import main
from adaspring.workbench.checkpoint import Checkpoint


@pytest.mark.timeout(600)
def test_every_group_is_tested_by_a_model_that_has_not_seen_it(
    recipe_path: Path, data_path: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """One model a volunteer, the mean of all, and with the test split once the bundle that ships is there."""
    common = [str(recipe_path), "--data", str(data_path.parent), "--threads", "1"]
    work = ["--work", str(tmp_path / "folds")]
    assert 0 == main(["folds", *common, *work, "--only", "2", "3"])
    some = msgspec.json.decode(capfd.readouterr().out.splitlines()[-1])
    assert [(2, 72), (3, 72)] == [(fold["group"], fold["rows"]) for fold in some["folds"]]
    assert np.mean([fold["full_percent"] for fold in some["folds"]]) == pytest.approx(some["mean_percent"])
    assert "shipped" not in some

    assert 0 == main(["train", *common, "--work", str(tmp_path / "work")])
    assert 0 == main(["folds", *common, *work])
    whole = msgspec.json.decode(capfd.readouterr().out.splitlines()[-1])
    # What was trained is not trained again, to the second.
    assert some["folds"] == whole["folds"][1:]
    percents = [*(fold["full_percent"] for fold in whole["folds"]), whole["shipped"]["full_percent"]]
    assert (4, 288) == (len(percents), whole["shipped"]["rows"])
    assert np.mean(percents) == pytest.approx(whole["mean_with_shipped_percent"])


def test_nothing_is_chosen_on_the_rows_that_are_tested() -> None:
    """Of two states the last is kept though the first validated better, and standing still ends nothing."""
    state = Checkpoint("recipe", 0, {}, {}, {}, -1.0, {})
    state.take(90.0, always=True)
    state.take(80.0, always=True)
    assert 80.0 == state.best_percent
    state.take(70.0)
    assert (80.0, 1) == (state.best_percent, state.stale)


def test_groups_that_are_not_there_are_refused(
    recipe_path: Path, data_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """With those that are; and rows of one group cannot be divided."""
    common = [str(recipe_path), "--data", str(data_path.parent)]
    assert 1 == main(["folds", *common, "--only", "9"])
    assert "the training rows have no group 9: they have 1, 2, 3" in capfd.readouterr().err
    text = recipe_path.read_text(encoding="utf-8").replace('group = "subject", ', "")
    recipe_path.write_text(text.replace("groups = [3]", "share = 0.2"), encoding="utf-8")
    assert 1 == main(["folds", *common])
    assert "all of one group" in capfd.readouterr().err
