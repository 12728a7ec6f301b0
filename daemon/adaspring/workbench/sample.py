"""A small sample of the test split that ships with a bundle, as a client would stream it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt

from adaspring.errors import DataError
from adaspring.workbench.data import Rows, load_labels, load_rows
from adaspring.workbench.recipe import Recipe

#: Windows of one stretch of a recording, and stretches of each class.
RUN = 6
RUNS = 8


def write_sample(recipe: Recipe, data: Path, out: Path, *, seed: int = 0) -> int:
    """Write ``sample.npz`` and its ``LICENSE.txt``.

    The sample holds as many windows of each class, in stretches of consecutive windows
    of one volunteer, so that a stream of it looks like somebody who does things for a while.

    Args:
        recipe: Names data, licence and attribution.
        data: The data file.
        out: Folder to write to.
        seed: Of the choice and the order of the stretches.

    Returns:
        Number of windows.
    """
    rows = load_rows(data, recipe, "test")
    rng = np.random.default_rng(seed)
    chosen = [run for label in range(recipe.space.outputs) for run in _runs_of(rows, label, rng)]
    order = np.concatenate([chosen[index] for index in rng.permutation(len(chosen))])
    sample = rows.take(order)
    out.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        out / "sample.npz",
        x=sample.x.astype(np.float16),
        y=sample.y.astype(np.uint8),
        volunteer=sample.group.astype(np.uint8),
        class_names=np.array(load_labels(data, recipe)),
    )
    (out / "LICENSE.txt").write_text(_licence(recipe, sample), encoding="utf-8")
    return len(sample)


def _runs_of(rows: Rows, label: int, rng: np.random.Generator) -> list[npt.NDArray[np.intp]]:
    """Stretches of one class, from as many volunteers as possible."""
    step = rows.x.shape[-1] // 2
    order = np.lexsort((rows.start, rows.recording, rows.group))
    order = order[rows.y[order] == label]
    joined = (np.diff(rows.recording[order]) == 0) & (np.diff(rows.start[order]) == step)
    stretches = [part for part in np.split(order, np.flatnonzero(~joined) + 1) if len(part) >= RUN]
    if len(stretches) < RUNS:
        raise DataError(f"class {label} has {len(stretches)} stretches of {RUN} test windows; a sample needs {RUNS}")
    drawn = [stretches[index] for index in rng.permutation(len(stretches))]
    # First one stretch of each volunteer, then the second of each, and so on.
    seen: Counter[int] = Counter()
    turns = []
    for stretch in drawn:
        volunteer = int(rows.group[stretch[0]])
        turns.append(seen[volunteer])
        seen[volunteer] += 1
    return [drawn[index][:RUN] for index in np.argsort(turns, kind="stable")[:RUNS]]


def _licence(recipe: Recipe, sample: Rows) -> str:
    volunteers = ", ".join(str(volunteer) for volunteer in np.unique(sample.group))
    return (
        f"sample.npz holds {len(sample)} windows of the test split (volunteers {volunteers}) of\n"
        f"{recipe.data.source}.\n\n"
        f"It stands outside the licence of the project. {recipe.data.licence}\n\n"
        f"Whoever publishes results obtained with it must cite:\n\n{recipe.data.attribution.strip()}\n"
    )
