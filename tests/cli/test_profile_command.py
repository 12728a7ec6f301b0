from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from rich.console import Console

from adaspring.app.learning import VERSION, LearnedFile, learned_path
from adaspring.app.locate import corrected_tables
from adaspring.bundle import Bundle
from adaspring.cli.adaspring import main
from adaspring.cli.profile_command import profile_if_missing
from adaspring.profile import load_tables
from adaspring.tables import EXPIRES_S, Evidence, SlotTable, drift_percent

pytestmark = pytest.mark.usefixtures("own_measuring_lock")


def profile(folder: Path, state: Path, *more: str) -> int:
    """Run ``adaspring profile`` for a board of our choice."""
    return main(
        ["profile", "--bundle", str(folder), "--state", str(state), "--device", "generic-x86_64", *more],
    )


def last_line(capsys: pytest.CaptureFixture[str]) -> Any:
    """The JSON at the end of standard output."""
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_tables_are_written_and_told(
    small_bundle: Bundle, small_bundle_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The last line is JSON with the file and how far to trust it; asked again, nothing is measured twice."""
    assert profile(small_bundle_folder, tmp_path, "--subnets", "80") == 0
    told = last_line(capsys)
    facts = load_tables(Path(told["tables"]), small_bundle.space).facts
    assert tmp_path / "tables" == Path(told["tables"]).parent
    assert (80, False, small_bundle.digest) == (facts.subnets, facts.estimate, facts.bundle)
    assert (facts.fit_mape_percent, facts.tail_ratio) == (told["fit_mape_percent"], told["tail_ratio"])

    written = Path(told["tables"]).stat()
    assert profile(small_bundle_folder, tmp_path, "--if-missing") == 0
    assert {"tables": told["tables"]} == last_line(capsys)
    assert written.st_mtime_ns == Path(told["tables"]).stat().st_mtime_ns

    console = Console(record=True, width=200)
    profile_if_missing(str(small_bundle_folder), tmp_path, "generic-x86_64", limit_s=0.0, console=console)
    assert "measured tables of this device are there" in console.export_text()


def test_profile_if_missing_measures(
    small_bundle: Bundle, small_bundle_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first start on a device measures, for as long as it may, and shows what came of it."""
    console = Console(record=True, width=200)
    profile_if_missing(str(small_bundle_folder), tmp_path, "generic-x86_64", limit_s=0.5, console=console)
    [path] = (tmp_path / "tables").iterdir()
    assert not load_tables(path, small_bundle.space).facts.estimate
    assert "subnets timed on generic-x86_64 with onnxruntime" in console.export_text()
    capsys.readouterr()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--subnets", "0"], "must be a whole number of at least 1; it is '0'"),
        (["--subnets", "many"], "must be a whole number of at least 1; it is 'many'"),
        (["--threads", "0"], "must be a whole number of at least 1; it is '0'"),
        (["--seed", "-1"], "must be a whole number of at least 0; it is '-1'"),
        (["--engine", "caffe"], "invalid choice: 'caffe'"),
    ],
)
def test_wrong_option_is_refused(
    small_bundle_folder: Path, tmp_path: Path, more: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is measured, with what it must be."""
    with pytest.raises(SystemExit, match="2"):
        profile(small_bundle_folder, tmp_path, *more)
    assert message in capsys.readouterr().err
    assert [] == list(tmp_path.iterdir())


def test_missing_place_is_told_before_the_work(
    small_bundle_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody waits for a measurement that cannot be kept."""
    (tmp_path / "file").touch()
    assert profile(small_bundle_folder, tmp_path / "file") == 1
    assert "for tables: Not a directory; give --state" in capsys.readouterr().err


def test_too_little_is_told(small_bundle_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Tables are not fitted to a handful of subnets."""
    assert profile(small_bundle_folder, tmp_path, "--subnets", "10") == 1
    assert "10 subnets were timed, and tables need at least" in capsys.readouterr().err


def test_the_atlas_is_rebuilt_from_corrected_tables(
    small_bundle: Bundle, small_bundle_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without evidence the tables stay as measured; with it, corrected tables with their atlas lie beside them."""
    options = ["--bundle", str(small_bundle_folder), "--state", str(tmp_path), "--device", "generic-x86_64"]
    assert main(["atlas", *options]) == 1
    assert "measure them" in capsys.readouterr().err
    assert profile(small_bundle_folder, tmp_path, "--subnets", "80") == 0
    target, space = Path(last_line(capsys)["tables"]), small_bundle.space
    assert main(["atlas", *options]) == 0
    assert last_line(capsys)["corrected"] == ""

    tables = load_tables(target, space)
    truth = SlotTable(tables.latency_us.values.copy(), tables.latency_us.head)
    truth.values[:, 0] *= 2.0
    served = space.random(np.random.default_rng(0), 60)
    evidence = tuple(
        Evidence(tuple(genome.tolist()), "cool", us, 1.0)
        for genome, us in zip(served, truth.evaluate(space, served).tolist(), strict=True)
    )
    learned = LearnedFile(VERSION, tables.facts.created, (), (), evidence)
    learned_path(target).write_bytes(msgspec.json.encode(learned))
    assert main(["atlas", *options, "--background"]) == 0
    told = last_line(capsys)
    corrected = corrected_tables(tables, small_bundle, tmp_path, wall=time.time)
    assert told["corrected"] == corrected.facts.corrected != ""
    assert corrected.atlas is not None
    assert told["atlas_members"] == len(corrected.atlas)
    assert drift_percent(space, truth, corrected.latency_us, served) < drift_percent(
        space, truth, tables.latency_us, served
    )
    week_later = time.time() + EXPIRES_S + 60
    assert corrected_tables(tables, small_bundle, tmp_path, wall=lambda: week_later) is tables
