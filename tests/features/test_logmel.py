import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adaspring.errors import FeatureError
from adaspring.features import LogMelSpec, build_pipeline
from adaspring.features.logmel import mel_filters

SPEC = LogMelSpec(rate_hz=8000.0, samples=4000, frame=256, hop=100, bands=32, low_hz=50.0, high_hz=4000.0)


def _sine(frequency_hz: float, amplitude: float = 0.5) -> np.ndarray:
    time_s = np.arange(SPEC.samples) / SPEC.rate_hz
    return (32767 * amplitude * np.sin(2 * np.pi * frequency_hz * time_s)).astype(np.int16)


@given(cuts=st.lists(st.integers(0, 4000), max_size=8))
def test_a_stream_in_pieces_puts_out_the_frames_of_the_whole(cuts: list[int]) -> None:
    """However the samples are cut, every frame comes once."""
    raw = np.random.default_rng(0).integers(-9000, 9000, 4000).astype(np.int16)
    pipeline = build_pipeline(SPEC)
    stream = pipeline.stream()
    columns = [stream.push(part) for part in np.split(raw, np.sort(cuts))]
    np.testing.assert_allclose(pipeline.window(raw), np.concatenate(columns, axis=-1), atol=1e-5)


def test_silence_is_zero_and_a_sine_stands_in_its_band() -> None:
    """The strongest band is the one around the sine, and it reads the sine's power."""
    pipeline = build_pipeline(SPEC)
    assert not pipeline.window(np.zeros(4000, dtype=np.int16)).any()
    centre = int(mel_filters(SPEC)[64].argmax())
    columns = pipeline.window(_sine(64 * 8000 / 256))
    assert {centre} == set(columns.argmax(axis=0).tolist())
    # Of a sine's power a Hann window leaves the whole in its bin and a quarter in each neighbour.
    power = np.expm1(columns[centre]) * SPEC.floor
    assert 0.125 < power.min() <= power.max() < 0.375


def test_both_layouts_hold_the_same_numbers() -> None:
    """One channel of bands by frames, or the bands as channels."""
    raw = _sine(440.0)
    sequence = build_pipeline(SPEC)
    image = build_pipeline(msgspec.structs.replace(SPEC, layout="image"))
    assert ((32, 38), (1, 32, 38)) == (sequence.shape, image.shape)
    np.testing.assert_array_equal(sequence.window(raw)[None], image.window(raw))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"hop": 0}, "0 < hop <= frame <= samples"),
        ({"samples": 100}, "0 < hop <= frame <= samples"),
        ({"high_hz": 5000.0}, "high_hz <= rate_hz / 2"),
        ({"floor": 0.0}, "bands and floor must be positive"),
        ({"bands": 200}, "lies between two bins"),
    ],
)
def test_a_spectrogram_that_cannot_be_is_refused(change: dict[str, float], said: str) -> None:
    """The message names the keys and what must hold."""
    with pytest.raises(FeatureError, match=said):
        build_pipeline(msgspec.structs.replace(SPEC, **change))


def test_other_samples_are_refused() -> None:
    """Floats are not taken for 16-bit samples, nor a short clip for a window."""
    pipeline = build_pipeline(SPEC)
    with pytest.raises(FeatureError, match="raw samples are int16; these are float32"):
        pipeline.window(np.zeros(4000, dtype=np.float32))
    with pytest.raises(FeatureError, match=r"a raw window has shape \[4000\]; this one has \[10\]"):
        pipeline.window(np.zeros(10, dtype=np.int16))
