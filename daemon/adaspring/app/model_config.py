"""One of several models in the configuration."""

from __future__ import annotations

import msgspec

from adaspring.decide import DEFAULT_PRIORITY, Policy
from adaspring.errors import ConfigError


class ModelConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of several models; what is left out of the last five is as in ``policy``.

    Attributes:
        bundle: Its bundle, as ``bundle`` of one model.
        priority: 1, the highest, to 9; each step down counts half where models share what the device allows.
        latency_p95_ms: See `Policy`.
        late_percent: See `Policy`.
        max_accuracy_loss_points: See `Policy`.
        emergency_accuracy_loss_points: See `Policy`.
        least_accuracy_percent: See `Policy`.
    """

    bundle: str
    priority: int = DEFAULT_PRIORITY
    latency_p95_ms: float | None = None
    late_percent: float | None = None
    max_accuracy_loss_points: float | None = None
    emergency_accuracy_loss_points: float | None = None
    least_accuracy_percent: float | None = None

    def policy(self, shared: Policy) -> Policy:
        """The policy of this model.

        Raises:
            ConfigError: If the two together contradict themselves.
        """
        keys = (
            "latency_p95_ms",
            "late_percent",
            "max_accuracy_loss_points",
            "emergency_accuracy_loss_points",
            "least_accuracy_percent",
        )
        own = {key: value for key in keys if (value := getattr(self, key)) is not None}
        try:
            return msgspec.structs.replace(shared, **own)
        except ConfigError as error:
            raise ConfigError(f"models, bundle {self.bundle}: {error}") from error
