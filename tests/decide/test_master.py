from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog

from adaspring.decide.master import Master

CEILING = 50.0


def reference(objective: np.ndarray, excess: np.ndarray) -> float:
    """Least objective of a mixture, by a general solver."""
    budgets = excess.shape[1]
    answer = linprog(
        np.concatenate([objective, np.full(budgets, CEILING)]),
        A_ub=np.column_stack([excess.T, -np.eye(budgets)]),
        b_ub=np.zeros(budgets),
        A_eq=np.concatenate([np.ones(len(objective)), np.zeros(budgets)])[None],
        b_eq=[1.0],
    )
    return float(answer.fun)


@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(0, 4), st.sampled_from([-0.5, 0.0, 0.5]))
def test_the_mixture_is_that_of_a_general_solver(seed: int, points: int, budgets: int, shift: float) -> None:
    """Value and multipliers solve the linear program, before and after points are added."""
    rng = np.random.default_rng(seed)
    objective, excess = rng.random(points), rng.normal(shift, 1.0, (points, budgets))
    master = Master(objective, excess, CEILING)
    _, value = master.solve()
    assert value == pytest.approx(reference(objective, excess), abs=1e-7)

    more, further = rng.random(5), rng.normal(shift, 1.0, (5, budgets))
    master.add(more, further)
    multipliers, value = master.solve()
    objective, excess = np.concatenate([objective, more]), np.concatenate([excess, further])
    assert value == pytest.approx(reference(objective, excess), abs=1e-7)
    # Strong duality: at these multipliers no point is below the value of the mixture.
    assert (multipliers >= 0).all()
    assert (multipliers <= CEILING + 1e-7).all()
    assert (objective + excess @ multipliers).min(initial=np.inf) == pytest.approx(value, abs=1e-7)


def test_equal_points_do_not_make_it_go_round_in_circles() -> None:
    """Degenerate points end after a bounded number of pivots, with multipliers that are numbers."""
    master = Master(np.zeros(40), np.zeros((40, 4)), CEILING)
    multipliers, value = master.solve()
    assert np.isfinite(multipliers).all()
    assert value == 0.0
