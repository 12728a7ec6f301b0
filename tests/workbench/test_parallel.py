import json
import subprocess
import sys
from pathlib import Path

import pytest

from adaspring.errors import WorkbenchError
from adaspring.workbench.parallel import Team

#: Trains for two epochs without augmentation and writes the losses and what was validated.
SCRIPT = """
import json, sys
from pathlib import Path
import msgspec, torch
from adaspring.space import SearchSpace
from adaspring.workbench.augment import Batches
from adaspring.workbench.data import channel_scale, load_rows
from adaspring.workbench.parallel import team
from adaspring.workbench.recipe import load_recipe
from adaspring.workbench.supernet import initial_weights
from adaspring.workbench.train import Surroundings, TrainingData, ensemble_phase, train

recipe, data, out = load_recipe(Path(sys.argv[1])), Path(sys.argv[2]), Path(sys.argv[3])
torch.set_num_threads(1)
rows, held = (load_rows(data, recipe, split) for split in ("train", "validation"))
batches = Batches.of(rows, 3, channel_scale(rows), None)
told = TrainingData(
    batches, batches.scaled(rows.inputs()), batches.scaled(held.inputs()), torch.from_numpy(held.y)
)
space = SearchSpace(recipe.space)
how = msgspec.structs.replace(recipe.training, conflict="project")
reports = []
with team() as processes:
    around = Surroundings(team=processes)
    weights = train(
        space, how, ensemble_phase(space, how, told, around), told,
        lambda: initial_weights(space, how.seed, how.identity),
        checkpoint=out / f"checkpoint-{processes.size}.safetensors", recipe="digest", around=around,
        report=reports.append,
    )
    if processes.leads:
        facts = {
            "size": processes.size,
            "losses": [report.loss for report in reports],
            "percent": reports[-1].validation_percent,
            "weight": float(weights["head.weight"].abs().sum()),
        }
        (out / f"{processes.size}.json").write_text(json.dumps(facts))
"""


@pytest.mark.timeout(600)
def test_two_processes_learn_what_one_does(recipe_path: Path, data_path: Path, tmp_path: Path) -> None:
    """Shared-out rows, averaged gradients and joint batch norms add up to the same training."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    arguments = [str(script), str(recipe_path), str(data_path), str(tmp_path)]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for command in ([sys.executable, *arguments], [*launch, *arguments]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert 0 == done.returncode, done.stderr[-2000:]
    one, two = (json.loads((tmp_path / f"{size}.json").read_text()) for size in (1, 2))
    assert (1, 2) == (one["size"], two["size"])
    assert one["losses"] == pytest.approx(two["losses"], rel=1e-3)
    assert one["weight"] == pytest.approx(two["weight"], rel=1e-3)
    assert one["percent"] == pytest.approx(two["percent"], abs=3.0)


def test_rows_that_cannot_be_shared_out_evenly_are_refused() -> None:
    """The message names the key of the recipe."""
    with pytest.raises(WorkbenchError, match="subnet_rows = 5 cannot be shared out evenly among 2 processes"):
        Team(rank=0, size=2).check(batch=16, subnet_rows=5)
