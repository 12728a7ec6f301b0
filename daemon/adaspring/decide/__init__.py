"""Context -> budgets -> trigger -> search -> decision."""

from adaspring.decide.budgets import Budgets, Reference, budgets, check_policy, latency_budget_us
from adaspring.decide.decision import Alternative, Decision, Prediction, Relaxed
from adaspring.decide.planner import Choice, Planner, replay
from adaspring.decide.policy import Policy, ThermalState, TriggerPolicy, thermal_state
from adaspring.decide.trigger import Cause, Trigger

__all__ = [
    "Alternative",
    "Budgets",
    "Cause",
    "Choice",
    "Decision",
    "Planner",
    "Policy",
    "Prediction",
    "Reference",
    "Relaxed",
    "ThermalState",
    "Trigger",
    "TriggerPolicy",
    "budgets",
    "check_policy",
    "latency_budget_us",
    "replay",
    "thermal_state",
]
