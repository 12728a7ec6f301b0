"""Named policies to start from: ``preset`` of ``[policy]``; a key that is given beside it wins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from adaspring.decide.policy import Policy, Preset
from adaspring.errors import ConfigError

#: What each preset sets; all else keeps its default. `docs/policy.md` says why.
PRESETS: dict[Preset, dict[str, Any]] = {
    "balanced": {},
    "endurance": {
        "lambda_energy_min": 0.6,
        "lambda_energy_unknown": 0.8,
        "max_accuracy_loss_points": 8.0,
        "low_battery_percent": 40.0,
        "low_battery_energy_percent": 35.0,
    },
    "latency": {
        "latency_p95_ms": 5.0,
        "max_utilisation": 0.4,
        "max_accuracy_loss_points": 8.0,
    },
    "accuracy": {
        "latency_p95_ms": 50.0,
        "max_accuracy_loss_points": 1.5,
        "lambda_energy_min": 0.1,
        "lambda_energy_unknown": 0.3,
        "relaxation_order": ("energy", "latency", "accuracy", "memory"),
    },
}


def preset_policy(preset: Preset, **keys: Any) -> Policy:
    """The policy of a preset, with some keys of one's own.

    Raises:
        ConfigError: If the policy contradicts itself.
    """
    return Policy(**{**PRESETS[preset], **keys, "preset": preset})


def with_preset(table: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of ``[policy]`` with those of the preset that it names filled in.

    Raises:
        ConfigError: If there is no such preset.
    """
    name = table.get("preset", "balanced")
    if name not in get_args(Preset):
        raise ConfigError(f"policy.preset must be one of {', '.join(get_args(Preset))}; it is {name!r}")
    return {**PRESETS[name], **table}
