"""Context -> budgets -> trigger -> search -> decision."""

from adaspring.decide.budgets import (
    Budgets,
    Reference,
    budgets,
    check_policy,
    latency_asked_s,
    latency_budget_us,
)
from adaspring.decide.decision import Alternative, Decision, Prediction, Relaxed, Together
from adaspring.decide.member import DEFAULT_PRIORITY, LOWEST_PRIORITY, Member
from adaspring.decide.planner import Choice, Planner
from adaspring.decide.policy import Policy, Preset, ThermalState, TriggerPolicy, thermal_state
from adaspring.decide.presets import PRESETS, preset_policy, with_preset
from adaspring.decide.replay import replay
from adaspring.decide.sharing import choose_together
from adaspring.decide.trigger import Cause, Trigger

__all__ = [
    "DEFAULT_PRIORITY",
    "LOWEST_PRIORITY",
    "PRESETS",
    "Alternative",
    "Budgets",
    "Cause",
    "Choice",
    "Decision",
    "Member",
    "Planner",
    "Policy",
    "Prediction",
    "Preset",
    "Reference",
    "Relaxed",
    "ThermalState",
    "Together",
    "Trigger",
    "TriggerPolicy",
    "budgets",
    "check_policy",
    "choose_together",
    "latency_asked_s",
    "latency_budget_us",
    "preset_policy",
    "replay",
    "thermal_state",
    "with_preset",
]
