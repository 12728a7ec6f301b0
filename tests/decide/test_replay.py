from __future__ import annotations

from collections.abc import Callable

import pytest

from adaspring.context.model import Context
from adaspring.decide import Cause, Planner, replay
from adaspring.errors import TableError


def test_another_planner_does_not_replay(make_planner: Callable[..., Planner]) -> None:
    """A decision is replayed over what it was made from, or not at all."""
    context = Context(at_s=1.0, external_power=True, temperature_c=40.0)
    decision = make_planner().decide(context, None, Cause("start", "the first decision"))
    with pytest.raises(TableError, match="replay it over the same bundle"):
        replay(decision, make_planner(latency_p95_ms=7.0))
