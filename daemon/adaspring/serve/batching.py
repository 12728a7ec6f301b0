"""How many requests to compute at once: where it was measured to pay, and no deadline is in the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf

#: A size of batch is used where it saves at least this share of the compute: what it costs is
#: that the first of its members waits for the last.
LEAST_SAVING = 0.05
#: Weight of the newest measurement in the smoothed time of a frame.
_SMOOTHING = 0.1


def paying_sizes(curve: Mapping[int, float]) -> tuple[int, ...]:
    """The sizes of batch that pay, ascending; always with 1.

    Args:
        curve: Time of a batch by its size, over that of one frame.
    """
    return (1, *sorted(size for size, cost in curve.items() if size > 1 and cost <= size * (1.0 - LEAST_SAVING)))


class Batching:
    """Knows what a batch costs and learns what a frame takes. The data thread uses it."""

    def __init__(self, curve: Mapping[int, float]) -> None:
        """Take a measured curve; see `paying_sizes`. An empty one computes frames one by one."""
        self.sizes = paying_sizes(curve)
        self._cost = {1: 1.0} | {size: curve[size] for size in self.sizes if size > 1}
        self._generation = 0
        self._frame_s = inf

    def largest(self, generation: int, warmed: tuple[int, ...]) -> int:
        """The largest batch that a generation may be given now; 1 until it has computed a frame.

        Args:
            generation: Number of the generation.
            warmed: The sizes of batch that its subnet was warmed for.
        """
        if generation != self._generation:
            return 1
        return max((size for size in self.sizes if size in warmed), default=1)

    def fits(self, now_s: float, warmed: tuple[int, ...]) -> Callable[[int, float], bool]:
        """Whether a batch of a size will be done by a deadline; see `RequestQueue.pop`."""

        def done_by(size: int, deadline_s: float) -> bool:
            return size in self._cost and size in warmed and now_s + self._cost[size] * self._frame_s <= deadline_s

        return done_by

    def learn(self, generation: int, samples: int, compute_s: float) -> float:
        """Learn from what was computed.

        Args:
            generation: Number of the generation that computed.
            samples: Size of the batch.
            compute_s: What it took, in seconds.

        Returns:
            What one frame alone would have taken, in seconds: by the curve for a size on
            it, NaN for another.
        """
        cost = self._cost.get(samples)
        if cost is None:
            return float("nan")
        frame_s = compute_s / cost
        if generation != self._generation:
            self._generation, self._frame_s = generation, frame_s
        else:
            self._frame_s += _SMOOTHING * (frame_s - self._frame_s)
        return frame_s
