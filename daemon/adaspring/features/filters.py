"""Causal Butterworth low-pass filters, designed and run in blocks."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi, tan
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from adaspring.errors import FeatureError

Array = npt.NDArray[np.float64]

#: Samples that one matrix product filters. A recursion over samples in Python would cost
#: microseconds a sample; the block grows quadratically in work, so it is neither 1 nor 1,000.
BLOCK = 64


class Coefficients(NamedTuple):
    """A rational transfer function; the first feedback coefficient is 1."""

    forward: Array
    feedback: Array


def butterworth_low_pass(order: int, cutoff_hz: float, rate_hz: float) -> Coefficients:
    """Design a digital Butterworth low-pass by the bilinear transform.

    Raises:
        FeatureError: If the order is not positive or the cutoff not below half the rate.
    """
    if order < 1 or not 0 < cutoff_hz < rate_hz / 2:
        raise FeatureError(
            f"a low-pass of order {order} at {cutoff_hz:g} Hz cannot be: the order is at least 1 and the cutoff "
            f"lies below half the sample rate, {rate_hz / 2:g} Hz"
        )
    # Pre-warped, so that the cutoff stays where it was asked for.
    warped = 2.0 * tan(pi * cutoff_hz / rate_hz)
    angles = pi * (2.0 * np.arange(order) + order + 1.0) / (2.0 * order)
    poles = warped * np.exp(1j * angles)
    digital = (2.0 + poles) / (2.0 - poles)
    feedback = np.asarray(np.poly(digital).real, dtype=np.float64)
    forward = np.asarray(np.poly(-np.ones(order)), dtype=np.float64)
    return Coefficients(forward * feedback.sum() / forward.sum(), feedback)


@dataclass(frozen=True, slots=True)
class BlockFilter:
    """A filter as the matrices that carry a block of samples and a state to outputs and the next state.

    Exactly the recursion of the transposed direct form II, unrolled: with state z,
    ``y = respond @ x + observe @ z`` and ``z' = powers[n] @ z + reach @ x``.

    Attributes:
        powers: Powers 0 to `BLOCK` of the state's transition, shape ``(BLOCK + 1, order, order)``.
        observe: What a state adds to each output, shape ``(BLOCK, order)``.
        respond: Lower triangle of impulse responses, shape ``(BLOCK, BLOCK)``.
        reach: What each sample of a whole block adds to the state, shape ``(order, BLOCK)``.
        rest: State, per unit of input, of a filter that has seen a constant for ever, shape ``(order,)``.
    """

    powers: Array
    observe: Array
    respond: Array
    reach: Array
    rest: Array

    @staticmethod
    def of(coefficients: Coefficients) -> BlockFilter:
        """Unroll a transfer function."""
        forward, feedback = coefficients
        order = len(feedback) - 1
        transition = np.eye(order, k=1)
        transition[:, 0] = -feedback[1:]
        entry = forward[1:] - feedback[1:] * forward[0]
        powers = np.empty((BLOCK + 1, order, order))
        powers[0] = np.eye(order)
        for step in range(BLOCK):
            powers[step + 1] = transition @ powers[step]
        observe = powers[:BLOCK, 0, :]
        impulse = np.concatenate([forward[:1], observe[:-1] @ entry])
        lag = np.subtract.outer(np.arange(BLOCK), np.arange(BLOCK))
        return BlockFilter(
            powers=powers,
            observe=observe,
            respond=np.where(lag >= 0, impulse[np.maximum(lag, 0)], 0.0),
            reach=np.stack([powers[step] @ entry for step in range(BLOCK - 1, -1, -1)], axis=1),
            rest=np.linalg.solve(np.eye(order) - transition, entry),
        )

    def at_rest(self, first: Array) -> Array:
        """State of a filter that has seen these values for ever, shape ``(order, channels)``.

        Args:
            first: Shape ``(channels,)``.
        """
        return np.outer(self.rest, first)

    def run(self, x: Array, state: Array) -> tuple[Array, Array]:
        """Filter some samples.

        Args:
            x: Shape ``(n, channels)``.
            state: Shape ``(order, channels)``.

        Returns:
            Output, shape ``(n, channels)``, and the state behind it.
        """
        y = np.empty_like(x)
        for start in range(0, len(x), BLOCK):
            part = x[start : start + BLOCK]
            count = len(part)
            y[start : start + count] = self.respond[:count, :count] @ part + self.observe[:count] @ state
            state = self.powers[count] @ state + self.reach[:, BLOCK - count :] @ part
        return y, state
