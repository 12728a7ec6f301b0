"""The evidence for one task: rivals trained, everything measured side by side, written as JSON and as a page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console

from adaspring.app.locate import find_tables
from adaspring.boards.profile import DeviceProfile
from adaspring.bundle import Bundle, load_bundle
from adaspring.engine.onnx.engine import OnnxEngine
from adaspring.errors import BundleMissingError
from adaspring.workbench.baselines.ablations import ablated
from adaspring.workbench.baselines.comparison import Entrant, compare
from adaspring.workbench.baselines.headline import headline
from adaspring.workbench.baselines.page import page
from adaspring.workbench.baselines.rivals import Rival, alone, rivals
from adaspring.workbench.baselines.selection import SHARES, exhaustive, greedy, pool, within
from adaspring.workbench.baselines.train import train_rival
from adaspring.workbench.data import load_rows
from adaspring.workbench.recipe import Recipe
from adaspring.workbench.train import Surroundings


def all_rivals(recipe: Recipe, bundle: Bundle) -> tuple[Rival, ...]:
    """Every rival of a task, the subnets that are also trained alone among them."""
    picked = [within(bundle, share) for share in SHARES]
    lonely = {rival.name: rival for rival in (alone(bundle.space, genome) for genome in picked)}
    return (*rivals(recipe.space), *lonely.values())


def train_all(recipe: Recipe, bundle: Bundle, data: Path, work: Path, *, console: Console, around: Surroundings) -> int:
    """Train every rival that is not trained yet; returns how many there are."""
    entrants = all_rivals(recipe, bundle)
    for rival in entrants:
        train_rival(recipe, rival, data, work, console=console, around=around)
    return len(entrants)


def gather(
    recipe: Recipe,
    bundle: Bundle,
    data: Path,
    work: Path,
    board: DeviceProfile,
    *,
    state: Path,
    runs: int,
    noisy: bool,
    advance: Callable[[], None],
) -> tuple[dict[str, Any], str]:
    """Compare ours with every rival that is trained.

    Args:
        recipe: The recipe of the task.
        bundle: Its bundle.
        data: The data file.
        work: Folder of the rivals.
        board: Whose energy coefficients count.
        state: State folder; ours is picked by the tables of this device too, where they were measured.
        runs: Runs of each subnet.
        noisy: Whether a noisy machine's timings are taken all the same.
        advance: Called after every entrant was judged.

    Returns:
        The report for JSON, and the page.
    """
    tables = find_tables(bundle, board, OnnxEngine(bundle, threads=1), state)
    latency_us = None if tables.facts.estimate else tables.latency_us
    entrants = [Entrant(_title(bundle, genome), "ours", bundle, genome) for genome in pool(bundle, latency_us)]
    entrants += [
        Entrant(f"picked within {share:.0%} of the MACs", "ours", bundle, within(bundle, share)) for share in SHARES
    ]
    missing = []
    for rival in all_rivals(recipe, bundle):
        try:
            own = load_bundle(work / rival.name / "bundle")
        except BundleMissingError:
            missing.append(rival.title)
            continue
        if rival.kind == "on-demand":
            for share in SHARES:
                budget = f"{share:.0%} of the MACs"
                entrants.append(Entrant(f"{rival.title}, greedy, {budget}", rival.kind, own, greedy(own, share)))
                entrants.append(
                    Entrant(f"{rival.title}, exhaustive, {budget}", rival.kind, own, exhaustive(own, share))
                )
        else:
            entrants.append(Entrant(rival.title, rival.kind, own, own.space.full()))
    validation, test = load_rows(data, recipe, "validation"), load_rows(data, recipe, "test")
    measured, machine = compare(entrants, validation, test, board, runs=runs, noisy=noisy, advance=advance)
    rows = [one.row for one in measured]
    parts = ablated(recipe, bundle, data, work)
    training = recipe.training
    report = {
        "task": recipe.name,
        "title": recipe.title,
        "board": board.name,
        "budget": f"{training.epochs} epochs, batches of {training.batch}",
        "picked": f"by MACs {'alone, without a profile' if latency_us is None else 'and by measured latency'}",
        "machine": {key: round(value, 2) for key, value in msgspec.to_builtins(machine).items()},
        "headline": headline(measured, board),
        "missing": missing,
        "ablations": msgspec.to_builtins(parts),
        "rows": [msgspec.to_builtins(row) for row in rows],
    }
    return report, page(report, rows)


def _title(bundle: Bundle, genome: Any) -> str:
    return "full network" if (genome[:-1] == bundle.space.full()[:-1]).all() else "front"
