"""Random tables for the tests of this package."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from adaspring.space import SearchSpace
from adaspring.tables import SlotTable

MakeTable = Callable[[SearchSpace, int], SlotTable]


@pytest.fixture(scope="session")
def make_table() -> MakeTable:
    """Makes a table with an independent positive entry wherever the space is legal."""

    def make(space: SearchSpace, seed: int) -> SlotTable:
        rng = np.random.default_rng(seed)
        precisions = len(space.spec.precisions)
        values = rng.random((precisions, *space.legal.shape))
        values[:, ~space.legal] = np.inf
        return SlotTable(values, rng.random((precisions, len(space.widths))))

    return make
