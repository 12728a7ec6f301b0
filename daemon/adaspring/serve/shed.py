"""Load shedding: so much work is let in that the engine is busy for a share of the time."""

from __future__ import annotations

from math import ceil

#: Compute that may be let in at once after a rest, in seconds at a share of one.
BURST_S = 0.2


class Shedder:
    """A token bucket whose tokens are seconds of compute. One thread uses it."""

    def __init__(self, share: float, now_s: float) -> None:
        """Start full.

        Args:
            share: Share of time that the engine may be busy, above 0.
            now_s: Now, in seconds.
        """
        self._share = share
        self._tokens_s = share * BURST_S
        self._at_s = now_s

    def wait_ms(self, cost_s: float, now_s: float) -> int:
        """Let work in, or say how long it has to wait.

        Args:
            cost_s: Compute that it will take, in seconds.
            now_s: Now, in seconds.

        Returns:
            0 where it was let in; otherwise when it would be, in milliseconds.
        """
        depth_s = max(self._share * BURST_S, cost_s)
        self._tokens_s = min(depth_s, self._tokens_s + self._share * (now_s - self._at_s))
        self._at_s = now_s
        missing_s = cost_s - self._tokens_s
        if missing_s > 0:
            return ceil(missing_s / self._share * 1e3)
        self._tokens_s -= cost_s
        return 0
