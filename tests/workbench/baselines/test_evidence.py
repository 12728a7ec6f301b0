from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from adaspring.app.locate import find_board
from adaspring.cli.adaspring import main
from adaspring.space import SearchSpace, SlotSpec, SpaceSpec, subnet_costs
from adaspring.workbench.baselines.comparison import Measured, Row
from adaspring.workbench.baselines.headline import headline, verdict
from adaspring.workbench.baselines.rivals import alone, rivals
from adaspring.workbench.baselines.transform import factorised, pruned
from adaspring.workbench.supernet import Recorded, forward, initial_weights
from adaspring.workbench.timing import extremes

SPEC = SpaceSpec(
    input_channels=3,
    input_size=(12, 12),
    outputs=4,
    slots=(
        SlotSpec(width=16, ratios=(1.0, 0.5)),
        SlotSpec(width=32, stride=2, operators=("conv", "fire", "dwsep", "lowrank"), shortcut="projection"),
        SlotSpec(width=32, operators=("conv", "lowrank"), ratios=(1.0, 0.5), shortcut="identity", skippable=True),
        SlotSpec(width=64, operators=("conv", "dwsep"), ratios=(1.0, 0.5)),
    ),
)


def test_every_rival_is_a_network_of_the_same_backbone() -> None:
    """One subnet each, but for on-demand selection; the hand-crafted ones are smaller than the backbone."""
    found = {rival.name: rival for rival in rivals(SPEC)}
    spaces = {name: SearchSpace(rival.space) for name, rival in found.items()}
    assert {1} == {space.subnet_count for name, space in spaces.items() if name != "width-depth"}
    assert spaces["width-depth"].subnet_count > 10
    macs = {name: subnet_costs(space, space.full()).macs for name, space in spaces.items()}
    assert subnet_costs(SearchSpace(SPEC), SearchSpace(SPEC).full()).macs == macs["uncompressed"] == macs["width-depth"]
    crafted = [name for name, rival in found.items() if rival.kind == "hand-crafted"]
    assert 5 == len(crafted)
    assert all(macs[name] < 0.7 * macs["uncompressed"] for name in crafted)


def test_a_subnet_alone_costs_what_it_costs_in_the_supernet() -> None:
    """Skipped slots are gone, all others hold their one choice."""
    space = SearchSpace(SPEC)
    for genome in space.random(np.random.default_rng(0), 20):
        lonely = SearchSpace(alone(space, genome).space)
        assert 1 == lonely.subnet_count
        assert subnet_costs(space, genome) == subnet_costs(lonely, lonely.full())


def test_factors_of_full_rank_compute_what_the_convolution_did() -> None:
    """A convolution of rank 4 comes back whole from factors of rank 4."""
    plain = SpaceSpec(input_channels=4, input_size=(9, 9), outputs=3, slots=(SlotSpec(width=16),))
    low = msgspec.structs.replace(plain, slots=(SlotSpec(width=16, operators=("lowrank",)),))
    trained = initial_weights(SearchSpace(plain), 0, 0.0)
    weight = trained["slots.0.conv.full.weight"].flatten(1)
    left, values, right = torch.linalg.svd(weight, full_matrices=False)
    trained["slots.0.conv.full.weight"] = ((left[:, :4] * values[:4]) @ right[:4]).reshape(16, 4, 3, 3)
    space = SearchSpace(low)
    weights = factorised(trained, space, initial_weights(space, 1, 0.0))
    x = torch.randn(6, 4, 9, 9, generator=torch.Generator().manual_seed(0))
    expected = forward(SearchSpace(plain), trained, SearchSpace(plain).full(), x, Recorded().record)
    torch.testing.assert_close(
        expected, forward(space, weights, space.full(), x, Recorded().record), rtol=1e-3, atol=1e-4
    )


def test_pruning_channels_that_are_zero_changes_nothing() -> None:
    """Half of the channels weigh nothing: without them the network answers the same, shortcuts included."""
    whole, narrow = (SearchSpace(rival.space) for rival in rivals(SPEC) if rival.name in {"uncompressed", "pruned"})
    trained = initial_weights(whole, 0, 0.0)
    rng = np.random.default_rng(0)
    for name in [name for name in trained if name.endswith(".gamma")]:
        layer = name.removesuffix(".gamma")
        dead = torch.from_numpy(rng.permutation(len(trained[name]))[: len(trained[name]) // 2])
        # Both ways of a residual block die in the same channels, and what holds the width follows them.
        trained[name] = torch.ones_like(trained[name])
        if layer.startswith("slots.1") and not layer.endswith("first.full"):
            dead = torch.arange(16)
        if layer.startswith("slots.2") and not layer.endswith("first.full"):
            dead = torch.arange(16)
        trained[f"{layer}.weight"][dead] = 0.0
    weights = pruned(trained, narrow, initial_weights(narrow, 1, 0.0))
    x = torch.randn(8, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    expected = forward(whole, trained, whole.full(), x, Recorded().record)
    torch.testing.assert_close(
        expected, forward(narrow, weights, narrow.full(), x, Recorded().record), rtol=1e-3, atol=1e-4
    )


def _entrant(kind: str, accuracy: float, latency_us: float, precision: str = "float32") -> Measured:
    verdict = np.arange(200) < 2 * accuracy
    row = Row(
        f"{kind} {accuracy}", kind, f"{accuracy}", precision, retraining=kind != "ours", validation_percent=accuracy,
        test_percent=accuracy, macs=1, parameters=1, activations=1, latency_us=latency_us, latency_p95_us=latency_us,
        energy_mj=0.0, switch_ms=0.0,
    )  # fmt: skip
    return Measured(row, verdict, verdict, moved_bytes=latency_us)


def test_a_baseline_meets_the_fastest_subnet_that_matches_it() -> None:
    """Half a point less is a match; int8 counts in its own precision; what nothing matches counts all the same."""
    board = find_board("generic-x86_64", Path("/"))
    crafted = [_entrant("hand-crafted", 90.0, 100.0), _entrant("hand-crafted", 99.0, 80.0)]
    ours = [_entrant("ours", 89.5, 50.0), _entrant("ours", 92.0, 70.0), _entrant("ours", 80.0, 5.0)]
    ours.append(_entrant("ours", 90.0, 20.0, "int8"))
    found = verdict([*crafted, *ours], board, own_precision=False)
    assert (["89.5"], ["hand-crafted 99.0"]) == ([pair.subnet for pair in found.pairs], found.unmatched)
    pair = found.pairs[0]
    assert 2.0 == pytest.approx(pair.latency_ratio)
    assert pair.interval_points[0] <= -0.5 <= pair.interval_points[1]
    assert pair.energy_ratio_range[0] <= pair.energy_ratio <= pair.energy_ratio_range[1]
    figures = headline([*crafted, *ours], board)
    assert 5.0 == pytest.approx(figures["latency_ratio_best_own_precision"])
    assert ["hand-crafted 99.0"] == figures["unmatched_own_precision"]
    # The most accurate of ours takes 70 us where the baseline takes 80: worse and quicker is no gain, and not dropped.
    assert [2.0, 1.0] == pytest.approx(found.latency_ratios)
    assert 2.0**0.5 == pytest.approx(figures["latency_ratio_geomean"])
    assert len(extremes(board)) > 1


@pytest.mark.timeout(600)
def test_rivals_are_trained_and_compared_by_the_command_line(
    recipe_path: Path, data_path: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Bundle, baselines, report: the page holds every entrant, the last line the headline."""
    common = [str(recipe_path), "--data", str(data_path.parent), "--threads", "1"]
    assert 0 == main(["train", *common, "--work", str(tmp_path / "work")])
    work = ["--work", str(tmp_path / "rivals")]
    out = tmp_path / "out.html"
    assert 0 == main(["evaluate", *common, *work, "--report", str(out), "--runs", "4", "--noisy"])
    assert "Fire (SqueezeNet style)" in msgspec.json.decode(out.with_suffix(".json").read_bytes())["missing"]
    assert 0 == main(["baselines", *common, *work])
    assert 0 == main(["baselines", *common, *work, "--ablations"])
    assert 0 == main(["evaluate", *common, *work, "--report", str(out), "--runs", "4", "--noisy"])
    figures = msgspec.json.decode(capfd.readouterr().out.splitlines()[-1])["tasks"]["tiny"]
    assert 5 == len(figures["pairs"]) + len(figures["unmatched"])
    report = msgspec.json.decode(out.with_suffix(".json").read_bytes())
    assert [] == report["missing"]
    parts = ["distillation", "transformation", "statistics bank", "elite groups"]
    assert ["as it is", *(f"without {part}" for part in parts)] == list(report["ablations"])
    html = out.read_text(encoding="utf-8")
    assert all(f"<td>{title}</td>" in html for title in report["ablations"])
    assert all(row["subnet"].partition(":")[2] in html for row in report["rows"])
    both = next(row for row in report["rows"] if row["kind"] == "ours" and row["precision"] == "int8")
    line = next(line for line in html.split("<tr") if f"{both['latency_us']:.1f}</td>" in line)
    assert both["subnet"].partition(":")[2] in line
    assert "<td>-</td>" not in line  # ours stands there in both precisions
    assert {"ours", "hand-crafted", "uncompressed", "alone", "on-demand"} == {row["kind"] for row in report["rows"]}
    assert "http" not in html.replace("http://www.w3.org", "").replace("https://matplotlib.org", "")
