"""AdaSpring against hand-crafted compression, all tasks: ``python -m benchmarks.headline TASK... --data DIR``.

Reads the bundles under models/ and the baselines that ``adaspring baselines`` has trained;
a task whose baselines are not all there says which are missing. Bundles are profiled
first, where that was not done yet. ``--stored DIR`` measures
nothing: it prints what the reports in a folder hold (``docs/evidence``, as committed).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from adaspring.app.locate import find_board
from adaspring.bundle import load_bundle
from adaspring.resources import resource
from adaspring.workbench.baselines.evidence import gather
from adaspring.workbench.data import find_data
from adaspring.workbench.progress import steps
from adaspring.workbench.recipe import load_recipe
from benchmarks.harness import CONSOLE, finish, state


def main() -> None:
    """Compare every task that is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tasks", nargs="*", default=["har"])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--work", type=Path, default=Path(".cache", "baselines"))
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--noisy", action="store_true")
    parser.add_argument("--stored", type=Path, metavar="DIR")
    options = parser.parse_args()
    if options.stored is not None:
        finish({"tasks": stored(options.stored)})
        return
    tasks: dict[str, Any] = {}
    for name in options.tasks:
        recipe = load_recipe(resource("models", name, "recipe.toml"))
        bundle = load_bundle(resource("models", name, "bundle"))
        profiled = state(name)
        with steps(CONSOLE, name, None) as tell:
            report, _ = gather(
                recipe,
                bundle,
                find_data(recipe, options.data),
                options.work / name,
                find_board("auto", Path("/")),
                state=profiled,
                runs=options.runs,
                noisy=options.noisy,
                advance=tell,
            )
        tasks[name] = {**report["headline"], "missing": report["missing"]}
    finish({"tasks": tasks})


def stored(folder: Path) -> dict[str, Any]:
    """The headline of every report in a folder, by task."""
    reports = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    return {report["task"]: {**report["headline"], "missing": report["missing"]} for report in reports}


if __name__ == "__main__":
    main()
