from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from adaspring.space import Genome, SearchSpace, SpaceSpec
from adaspring.workbench.accuracy import verdicts
from adaspring.workbench.data import Rows
from adaspring.workbench.promise import first_part, hold_to
from adaspring.workbench.sampling import diverse


def _rows(groups: npt.NDArray[np.generic]) -> Rows:
    count = len(groups)
    facts = np.zeros(count, dtype=np.int64)
    return Rows(np.arange(count, dtype=np.float32)[:, None], np.arange(count) % 2, groups, facts, facts)


class Guessing:
    """An engine whose subnets answer at random, each always alike."""

    def prepare(self, genome: Genome) -> Guessing:
        """The subnet of a genome."""
        self._seed = genome.tolist()
        return self

    @property
    def subnet(self) -> Guessing:
        """As an engine hands it out."""
        return self

    def run(self, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """One of two answers for each row, by its number."""
        answers = np.random.default_rng(self._seed).random((10_000, 2), dtype=np.float32)
        some: npt.NDArray[np.float32] = answers[x[:, 0].astype(int)]
        return some


def test_what_was_promised_by_chance_is_not_kept(small_spec: SpaceSpec) -> None:
    """Where subnets differ by luck alone, tables still promise some more than others, and other rows say no."""
    space, engine, rows = SearchSpace(small_spec), Guessing(), _rows(np.repeat([3, 5], 100))
    genomes = diverse(space, np.random.default_rng(0), 200)
    right = verdicts(engine, genomes, rows)  # type: ignore[arg-type]
    promise = hold_to(engine, space, genomes, right, rows, random=len(genomes))  # type: ignore[arg-type]
    assert ((3,), (100, 100)) == (promise.groups, promise.rows)
    assert promise.members > 1
    assert promise.random_percent == pytest.approx((50.0, 50.0), abs=1.0)
    assert promise.promised_percent > promise.random_percent[0]
    assert promise.front_percent[1] == pytest.approx(promise.random_percent[1], abs=3.0)


@pytest.mark.parametrize("groups", [np.array(["a", "b", "c"] * 20), np.zeros(60, dtype=np.int64)])
def test_the_parts_share_no_group_and_both_hold_all_classes(groups: npt.NDArray[np.generic]) -> None:
    """Rows are divided between groups where there are some, else within each class."""
    rows = _rows(groups)
    first, whose = first_part(rows)
    assert set(rows.y[first]) == set(rows.y[~first]) == {0, 1}
    if len(set(groups.tolist())) > 1:
        assert not set(groups[first].tolist()) & set(groups[~first].tolist())
        assert whose == ("a", "c")
    else:
        assert ((), 30) == (whose, first.sum())
