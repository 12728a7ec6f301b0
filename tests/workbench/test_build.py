import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from adaspring.bundle import load_bundle
from adaspring.cli.adaspring import main
from adaspring.workbench.evaluate import Evaluation


def test_a_recipe_becomes_a_bundle_that_evaluates_as_its_card_says(
    recipe_path: Path, data_path: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The whole way by the command line: train, look at the bundle, evaluate it again."""
    data = ["--data", str(data_path.parent), "--threads", "1"]
    assert 0 == main(["train", str(recipe_path), *data, "--work", str(tmp_path / "work")])
    trained = msgspec.json.decode(capfd.readouterr().out.splitlines()[-1], type=Evaluation)
    bundle = load_bundle(tmp_path / "bundle")
    assert ("tiny", ("SHAKE", "ROLL", "REST")) == (bundle.manifest.name, bundle.manifest.output.labels)
    assert round(trained.full.instant_percent, 2) == bundle.manifest.accuracy.full_percent
    assert (288, 8) == (bundle.manifest.accuracy.test_rows, bundle.manifest.training.epochs)
    card = (tmp_path / "card.md").read_text(encoding="utf-8")
    assert card == (tmp_path / "bundle" / "card.md").read_text(encoding="utf-8")
    for said in ("Only for boxes.", "Somebody, Boxes, 2020.", f"{trained.full.instant_percent:.2f} %", "seed 1"):
        assert said in card

    assert 0 == main(["evaluate", str(recipe_path), *data, "--split", "test"])
    again = msgspec.json.decode(capfd.readouterr().out.splitlines()[-1], type=Evaluation)
    assert trained == again

    # All checkpoints are there, so nothing is trained again.
    assert 0 == main(["train", str(recipe_path), *data, "--work", str(tmp_path / "work"), "--resume"])
    assert trained == msgspec.json.decode(capfd.readouterr().out.splitlines()[-1], type=Evaluation)


def test_the_sample_holds_every_class_in_stretches(
    recipe_path: Path, data_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As many windows of each class, stretches of one volunteer together, the terms beside them."""
    assert 0 == main(["sample", str(recipe_path), "--data", str(data_path.parent)])
    assert "144 windows written" in capsys.readouterr().out
    with np.load(tmp_path / "sample" / "sample.npz", allow_pickle=False) as sample:
        assert ((144, 3, 32), np.float16) == (sample["x"].shape, sample["x"].dtype)
        assert [48, 48, 48] == np.bincount(sample["y"]).tolist()
        assert {4, 5, 6, 7} == set(sample["volunteer"].tolist())
        for stretch in range(0, 144, 6):
            x = sample["x"][stretch : stretch + 6]
            np.testing.assert_array_equal(x[:-1, :, 16:], x[1:, :, :16])
    terms = (tmp_path / "sample" / "LICENSE.txt").read_text(encoding="utf-8")
    assert "Only for boxes." in terms
    assert "Somebody, Boxes, 2020." in terms


def test_a_sample_needs_enough_stretches(
    recipe_path: Path, tmp_path: Path, arrays: dict[str, np.ndarray], capsys: pytest.CaptureFixture[str]
) -> None:
    """Data of short recordings is refused with the class that lacks them."""
    keep = arrays["subject_test"] == 4
    thin = {name: array[keep] if name.endswith("_test") else array for name, array in arrays.items()}
    np.savez(tmp_path / "tiny.npz", **thin)  # type: ignore[arg-type]  # numpy types its keywords by the wrong overload
    assert 1 == main(["sample", str(recipe_path), "--data", str(tmp_path)])
    assert "class 0 has 3 stretches of 6 test windows; a sample needs 8" in capsys.readouterr().err


def test_help_needs_no_torch() -> None:
    """A device without torch can still list the subcommands."""
    script = (
        "import sys\n"
        "from adaspring.cli.adaspring import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: sys.exit('torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert all(name in done.stdout for name in ("train", "evaluate", "sample"))


def test_missing_data_ends_with_one_sentence(
    recipe_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No traceback: what is missing, where to get it, on what terms."""
    assert 1 == main(["train", str(recipe_path), "--data", str(tmp_path / "nowhere")])
    assert "Get it from the shop around the corner. Licence: Only for boxes." in capsys.readouterr().err
