"""A recorded decision, made again."""

from __future__ import annotations

from adaspring.decide.decision import Decision
from adaspring.decide.planner import Planner
from adaspring.decide.search import Deadline
from adaspring.errors import TableError


def replay(decision: Decision, planner: Planner) -> Decision:
    """Make a decision again from what it recorded: bit for bit, only the search's time differs.

    A search that its deadline cut short is cut at the same place.

    Args:
        decision: As recorded.
        planner: One over the same tables, policy and atlas.

    Raises:
        TableError: If the planner is another.
    """
    if decision.planner != planner.fingerprint:
        raise TableError(
            f"the decision was made by planner {decision.planner}, this one is {planner.fingerprint}: "
            "replay it over the same bundle, device tables, policy and atlas"
        )
    incumbent = None if decision.incumbent is None else planner.space.check(decision.incumbent)
    return planner.decide(
        decision.context,
        incumbent,
        decision.cause,
        seed=decision.seed,
        clock=lambda: 0.0,
        corrections=decision.corrections,
        deadline=Deadline.at_look(decision.ended_at_look),
        allowed=None if decision.together is None else decision.budgets,
        together=decision.together,
    )
