import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from adaspring.bundle import load_bundle, write_bundle
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
    # The front that the tables promise is measured beside what the recipe draws.
    assert bundle.accuracy.subnets > 40 + 2
    card = (tmp_path / "card.md").read_text(encoding="utf-8")
    assert card == (tmp_path / "bundle" / "card.md").read_text(encoding="utf-8")
    for said in ("Only for boxes.", "Somebody, Boxes, 2020.", f"{trained.full.instant_percent:.2f} %", "seed 1"):
        assert said in card
    # What it says of this machine covers each typical subnet in both engines and precisions.
    for said in ("full | onnxruntime", "median size | torch", "smallest | onnxruntime", "of these with 3 blocks"):
        assert said in card
    assert 2 * 3 == card.count(" | int8 | ") == card.count(" | float32 | ")
    # Of the 72 rows of volunteer 3 as many as the recipe allows.
    assert "| 60 validation rows |" in card

    assert 0 == main(["evaluate", str(recipe_path), *data, "--split", "test"])
    again = msgspec.json.decode(capfd.readouterr().out.splitlines()[-1], type=Evaluation)
    assert trained == again

    # Measured again, the card has the section once, everything else stays, and the bundle holds the new card.
    assert 0 == main(["card", str(recipe_path), "--runs", "4"])
    assert capfd.readouterr().out.startswith("## Latency and energy")
    anew = (tmp_path / "card.md").read_text(encoding="utf-8")
    assert 1 == anew.count("## Latency and energy")
    assert "`byte_pj`: " in anew
    assert card.partition("## Latency")[0] == anew.partition("## Latency")[0]
    assert card.partition("## Training")[2] == anew.partition("## Training")[2]
    assert anew == load_bundle_card(tmp_path / "bundle")

    # All checkpoints are there, so nothing is trained again.
    assert 0 == main(["train", str(recipe_path), *data, "--work", str(tmp_path / "work"), "--resume"])
    assert trained == msgspec.json.decode(capfd.readouterr().out.splitlines()[-1], type=Evaluation)


def load_bundle_card(folder: Path) -> str:
    """The card of a bundle that verifies."""
    load_bundle(folder)
    return (folder / "card.md").read_text(encoding="utf-8")


BOTH = 'precisions = ["float32", "int8"]'


def test_a_bundle_is_given_int8_without_training(
    recipe_path: Path, data_path: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its weights stay bit for bit, and all else is what a training with that recipe would have ended in."""
    options = ["--data", str(data_path.parent), "--threads", "1"]
    both = recipe_path.read_text(encoding="utf-8")
    recipe_path.write_text(both.replace(BOTH, 'precisions = ["float32"]'), encoding="utf-8")
    assert 0 == main(["train", str(recipe_path), *options, "--work", str(tmp_path / "work")])
    before = load_bundle(tmp_path / "bundle")
    assert "int8" not in before.space.spec.precisions

    assert 1 == main(["quantize", str(recipe_path), *options])
    assert BOTH in capfd.readouterr().err
    recipe_path.write_text(both, encoding="utf-8")
    for _ in range(2):  # from a bundle that has int8 already it can be done again
        assert 0 == main(["quantize", str(recipe_path), *options])
        quantized = msgspec.json.decode(capfd.readouterr().out.splitlines()[-1], type=Evaluation)
        bundle = load_bundle(tmp_path / "bundle")
        assert ("float32", "int8") == bundle.space.spec.precisions
        for name, array in before.weights.items():
            np.testing.assert_array_equal(array, bundle.weights[name])
        assert 1 == bundle.manifest.training.command.count("adaspring quantize")
    assert quantized.int8 is not None
    card = (tmp_path / "card.md").read_text(encoding="utf-8")
    assert f"In int8 the full network reaches {quantized.int8.full_percent:.2f} %" in card

    assert 0 == main(["train", str(recipe_path), *options, "--work", str(tmp_path / "work"), "--resume"])
    assert quantized == msgspec.json.decode(capfd.readouterr().out.splitlines()[-1], type=Evaluation)


def test_statistics_are_fitted_anew_to_the_weights_of_a_bundle(
    recipe_path: Path, data_path: Path, tmp_path: Path
) -> None:
    """What is no statistics stays bit for bit, and the outcome is that of a training that did not settle."""
    options = ["--data", str(data_path.parent), "--threads", "1"]
    settled = recipe_path.read_text(encoding="utf-8")
    recipe_path.write_text(settled.replace("settle = { epochs = 2,", "settle = { epochs = 0,"), encoding="utf-8")
    assert 0 == main(["train", str(recipe_path), *options, "--work", str(tmp_path / "work")])
    fitted = load_bundle(tmp_path / "bundle")
    forgotten = {
        name: np.zeros_like(array) if name.endswith((".mean", ".log_std")) else array
        for name, array in fitted.weights.items()
    }
    write_bundle(tmp_path / "other", fitted.manifest, forgotten, fitted.accuracy, "# Forgotten\n")
    refit = ["refit", str(recipe_path), *options, "--bundle", str(tmp_path / "other"), "--out", str(tmp_path / "again")]
    assert 0 == main(refit)
    again = load_bundle(tmp_path / "again")
    assert fitted.weights.keys() == again.weights.keys()
    for name, array in fitted.weights.items():
        if name.endswith((".mean", ".log_std", ".range")):
            np.testing.assert_allclose(array, again.weights[name], rtol=1e-5, atol=1e-6)
        else:
            np.testing.assert_array_equal(array, again.weights[name])
    assert again.manifest.training.command.endswith(f" && adaspring refit {recipe_path} --data DIR")


def test_int8_is_made_of_the_data_and_the_space_of_the_training(
    recipe_path: Path,
    data_path: Path,
    tmp_path: Path,
    arrays: dict[str, np.ndarray],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Other rows, or another backbone, are refused with what to do."""
    options = ["--data", str(data_path.parent), "--threads", "1"]
    assert 0 == main(["train", str(recipe_path), *options, "--work", str(tmp_path / "work")])
    louder = {name: 2 * array if name == "x_train" else array for name, array in arrays.items()}
    np.savez(data_path, **louder)  # type: ignore[arg-type]  # numpy types its keywords by the wrong overload
    assert 1 == main(["quantize", str(recipe_path), *options])
    assert "is not the data that the bundle tiny was trained on" in capsys.readouterr().err
    wider = recipe_path.read_text(encoding="utf-8").replace("width = 16, stride", "width = 24, stride")
    recipe_path.write_text(wider, encoding="utf-8")
    assert 1 == main(["quantize", str(recipe_path), *options])
    assert "another space than the recipe" in capsys.readouterr().err


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
    assert all(name in done.stdout for name in ("train", "quantize", "refit", "evaluate", "sample"))


def test_missing_data_ends_with_one_sentence(
    recipe_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No traceback: what is missing, where to get it, on what terms."""
    assert 1 == main(["train", str(recipe_path), "--data", str(tmp_path / "nowhere")])
    assert "Get it from the shop around the corner. Licence: Only for boxes." in capsys.readouterr().err
