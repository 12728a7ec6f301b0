import numpy as np
import pytest

from adaspring.errors import FeatureError
from adaspring.features import ImageSpec, build_pipeline
from adaspring.features.image import resized

SPEC = ImageSpec(height=8, width=12, mean=(10.0, 20.0, 30.0))


def test_an_image_comes_out_centred_and_channels_first() -> None:
    """Only the mean is taken off; the scale is folded into the network."""
    image = np.random.default_rng(0).integers(0, 256, (8, 12, 3)).astype(np.uint8)
    planes = build_pipeline(SPEC).window(image)
    assert (3, 8, 12) == planes.shape
    assert np.float32 == planes.dtype
    np.testing.assert_allclose(image.transpose(2, 0, 1) - np.array([10, 20, 30])[:, None, None], planes)


@pytest.mark.parametrize("size", [(64, 48), (3, 5), (16, 24), (8, 30)])
def test_images_of_another_size_are_resized(size: tuple[int, int]) -> None:
    """A ramp stays a ramp between its ends, whether it is enlarged or made smaller."""
    ramp = np.linspace(0, 250, size[0])[:, None, None] + np.zeros((1, size[1], 3))
    planes = resized(ramp.astype(np.uint8), (8, 12))
    assert (3, 8, 12) == planes.shape
    expected = np.interp((np.arange(8) + 0.5) * size[0] / 8 - 0.5, np.arange(size[0]), ramp[:, 0, 0])
    assert np.abs(planes[0, 2:-2].T - expected[2:-2]).max() < 16
    np.testing.assert_allclose(7.0, resized(np.full((*size, 3), 7, dtype=np.uint8), (8, 12)), rtol=1e-5)


def test_what_is_no_image_is_refused() -> None:
    """Grey planes, floats, and streams of samples."""
    pipeline = build_pipeline(SPEC)
    with pytest.raises(FeatureError, match=r"an image has shape \[height, width, 3\]; this one has \[8, 12\]"):
        pipeline.window(np.zeros((8, 12), dtype=np.uint8))
    with pytest.raises(FeatureError, match="raw samples are uint8; these are float32"):
        pipeline.window(np.zeros((8, 12, 3), dtype=np.float32))
    with pytest.raises(FeatureError, match="there is no stream"):
        pipeline.stream()
    with pytest.raises(FeatureError, match="must name red, green and blue"):
        build_pipeline(ImageSpec(height=8, width=8, mean=(1.0,)))
