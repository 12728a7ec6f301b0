import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import signal

from adaspring.errors import FeatureError
from adaspring.features.filters import BlockFilter, butterworth_low_pass


@given(order=st.integers(1, 4), share=st.floats(0.01, 0.45))
def test_coefficients_are_those_of_the_textbook(order: int, share: float) -> None:
    """The bilinear transform with pre-warping, as scipy designs it."""
    ours = butterworth_low_pass(order, share * 50.0, 50.0)
    forward, feedback = signal.butter(order, share * 50.0, fs=50.0)
    np.testing.assert_allclose(feedback, ours.feedback, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(forward, ours.forward, rtol=1e-4)


@given(cuts=st.lists(st.integers(0, 150), max_size=6), cutoff_hz=st.sampled_from([0.3, 5.0, 20.0]))
def test_blocks_of_any_length_filter_as_the_recursion_does(cuts: list[int], cutoff_hz: float) -> None:
    """However the samples are cut, the output is that of one sample after another."""
    x = np.random.default_rng(0).normal(1.0, 1.0, (300, 2))
    coefficients = butterworth_low_pass(3, cutoff_hz, 50.0)
    block = BlockFilter.of(coefficients)
    state = block.at_rest(x[0])
    parts = []
    for part in np.split(x, np.sort(np.minimum(np.cumsum(cuts), 300))):
        y, state = block.run(part, state)
        parts.append(y)
    rest = signal.lfilter_zi(*coefficients)[:, None] * x[0]
    expected, _ = signal.lfilter(*coefficients, x, axis=0, zi=rest)
    np.testing.assert_allclose(expected, np.concatenate(parts), atol=1e-9)


@pytest.mark.parametrize(("order", "cutoff_hz"), [(0, 5.0), (3, 0.0), (3, 25.0)])
def test_a_filter_that_cannot_be_is_refused(order: int, cutoff_hz: float) -> None:
    """The message says what must hold."""
    with pytest.raises(FeatureError, match=r"below half the sample rate, 25 Hz"):
        butterworth_low_pass(order, cutoff_hz, 50.0)
