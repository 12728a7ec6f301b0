import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adaspring.errors import FeatureError
from adaspring.features import InertialSpec, build_pipeline
from adaspring.features.filters import BlockFilter, butterworth_low_pass
from adaspring.resources import resource

SPEC = InertialSpec(rate_hz=50.0, samples=128)


@given(cuts=st.lists(st.integers(0, 128), max_size=5))
def test_a_stream_in_pieces_puts_out_what_one_window_does(cuts: list[int]) -> None:
    """State carries over every cut, empty pieces included."""
    raw = np.random.default_rng(0).standard_normal((128, 6), dtype=np.float32)
    pipeline = build_pipeline(SPEC)
    stream = pipeline.stream()
    columns = [stream.push(part) for part in np.split(raw, np.sort(cuts))]
    assert pipeline.shape == (9, 128)
    np.testing.assert_allclose(pipeline.window(raw), np.concatenate(columns, axis=1), atol=1e-6)


def test_rest_is_gravity_and_spikes_are_taken_off() -> None:
    """A sensor that lies still reads gravity alone, also where one sample is far off."""
    raw = np.tile(np.array([0, 0, 1, 0, 0, 0], dtype=np.float32), (128, 1))
    raw[60] = 9.0
    body, turn, total = build_pipeline(SPEC).window(raw).reshape(3, 3, 128)
    np.testing.assert_allclose(0.0, body, atol=1e-5)
    np.testing.assert_allclose(0.0, turn, atol=1e-5)
    np.testing.assert_allclose(np.array([0, 0, 1]), total.mean(axis=1), atol=1e-5)


def test_gravity_is_split_off_as_in_the_training_data() -> None:
    """On stretches of the shipped windows, body acceleration comes out as the data set has it.

    They begin in the middle of a recording, so five seconds are left to the filter to
    forget that it has not seen what was before; windows are stored in half precision.
    """
    with np.load(resource("models", "har", "sample", "sample.npz"), allow_pickle=False) as arrays:
        windows = arrays["x"].astype(np.float64)
    gravity = BlockFilter.of(butterworth_low_pass(SPEC.order, SPEC.gravity_cutoff_hz, SPEC.rate_hz))
    for first in range(0, len(windows), 6):
        stretch = np.concatenate([windows[first], *windows[first + 1 : first + 6, :, 64:]], axis=1)
        body, total = stretch[:3].T, stretch[6:].T
        low, _ = gravity.run(total, gravity.at_rest(total[:64].mean(axis=0)))
        np.testing.assert_allclose(body[250:], (total - low)[250:], atol=0.01)


def test_samples_that_are_none_are_refused() -> None:
    """Another shape, another type or a NaN stops at the door, before it enters the state."""
    stream = build_pipeline(SPEC).stream()
    with pytest.raises(FeatureError, match=r"raw samples have shape \[n, 6\]; these have \[4, 3\]"):
        stream.push(np.zeros((4, 3), dtype=np.float32))
    with pytest.raises(FeatureError, match="raw samples are float32; these are float64"):
        stream.push(np.zeros((4, 6)))
    broken = np.zeros((4, 6), dtype=np.float32)
    broken[2, 1] = np.nan
    with pytest.raises(FeatureError, match="raw sample 2 is not finite"):
        stream.push(broken)
    assert (9, 0) == stream.push(np.zeros((0, 6), dtype=np.float32)).shape


def test_a_pipeline_that_cannot_be_is_refused() -> None:
    """No window, or a cutoff above half the rate."""
    with pytest.raises(FeatureError, match="samples must be positive"):
        build_pipeline(InertialSpec(rate_hz=50.0, samples=0))
    with pytest.raises(FeatureError, match="below half the sample rate"):
        build_pipeline(InertialSpec(rate_hz=30.0, samples=64))
