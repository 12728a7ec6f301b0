import numpy as np
import pytest
import torch

from adaspring.space import SearchSpace, SpaceSpec
from adaspring.workbench import ranges
from adaspring.workbench.ranges import calibrate
from adaspring.workbench.sampling import diverse
from adaspring.workbench.statistics import fit, record
from adaspring.workbench.supernet import initial_weights


def test_ranges_do_not_depend_on_how_many_rows_run_at_a_time(
    residual_spec: SpaceSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The greatest activation of all rows is the greatest of the parts, and so is the least."""
    space, rng = SearchSpace(residual_spec), np.random.default_rng(0)
    genomes, x = diverse(space, rng, 12), torch.from_numpy(rng.standard_normal((20, 3, 32), dtype=np.float32))
    weights = initial_weights(space, 0, 0.5)
    weights |= fit(space, record(space, weights, genomes, x), ridge=0.1)
    whole = calibrate(space, weights, genomes, x, ridge=0.1)
    monkeypatch.setattr(ranges, "ROWS_AT_ONCE", 7)
    parts = calibrate(space, weights, genomes, x, ridge=0.1)
    assert whole.keys() == parts.keys()
    for name, tensor in whole.items():
        torch.testing.assert_close(tensor, parts[name], rtol=1e-4, atol=1e-4)
