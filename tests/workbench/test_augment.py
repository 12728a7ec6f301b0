import numpy as np
import torch

from adaspring.features import ImageSpec, LogMelSpec, Preprocessing, build_pipeline
from adaspring.workbench.augment import Batches
from adaspring.workbench.augment_image import bend_images
from adaspring.workbench.augment_sound import bend_spectrograms, bend_waves
from adaspring.workbench.augments import Augment, ImageAugment, InertialAugment, SoundAugment
from adaspring.workbench.data import Rows

SOUND = LogMelSpec(rate_hz=8000.0, samples=400, frame=128, hop=64, bands=8, low_hz=100.0, high_hz=4000.0)


def _rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_sound_is_shifted_around_and_made_louder_or_fainter() -> None:
    """A shift alone keeps every sample; a gain alone keeps the shape; full scale is never left."""
    waves = np.random.default_rng(1).integers(-20000, 20000, (6, 400)).astype(np.int16)
    shifted = bend_waves(waves, 8000.0, SoundAugment(shift_s=0.01), _rng())
    for before, after in zip(waves, shifted, strict=True):
        assert any(np.array_equal(np.roll(before, shift), after) for shift in range(-80, 81))
    louder = bend_waves(waves, 8000.0, SoundAugment(gain_db=20.0), _rng())
    assert not np.array_equal(waves, louder)
    assert np.abs(louder.astype(int)).max() <= 32768
    noisy = bend_waves(np.zeros((50, 400), dtype=np.int16), 8000.0, SoundAugment(noise_db=60.0), _rng())
    assert 20 < noisy.std() < 1100


def test_spectrograms_lose_one_stretch_of_bands_and_one_of_frames() -> None:
    """What is left is as it was; what is blanked is a rectangle across each axis."""
    x = torch.ones(40, 1, 16, 30)
    bent = bend_spectrograms(x, SoundAugment(bands=4, frames=6), _rng())
    bands, frames = (bent.sum(dim=axis) == 0 for axis in (3, 2))
    assert 0 < bands.sum(dim=-1).max() <= 4
    assert 0 < frames.sum(dim=-1).max() <= 6
    assert {0.0, 1.0} == set(bent.flatten().tolist())
    torch.testing.assert_close(torch.ones_like(x), x)


def test_images_are_mirrored_and_moved_by_whole_pixels() -> None:
    """Pixels keep their values; nothing is resampled where only shift and flip are asked for."""
    x = torch.arange(2 * 3 * 8 * 10, dtype=torch.float32).reshape(2, 3, 8, 10).repeat(8, 1, 1, 1)
    bent = bend_images(x, ImageAugment(flip=True, shift=0.2), _rng())
    assert bent.shape == x.shape
    assert not torch.equal(x, bent)
    assert set(bent.round(decimals=2).flatten().tolist()) <= set(x.flatten().tolist())


def test_a_rotation_keeps_the_middle_and_colour_changes_channels_alone() -> None:
    """The middle of a symmetric image stays; a gain and an offset act on whole planes."""
    x = torch.zeros(4, 3, 9, 9)
    x[:, :, 3:6, 3:6] = 1.0
    turned = bend_images(x, ImageAugment(rotation_deg=20.0, zoom=0.1), _rng())
    torch.testing.assert_close(torch.ones(4, 3), turned[:, :, 4, 4], atol=0.05, rtol=0)
    painted = bend_images(x, ImageAugment(colour=0.3), _rng())
    assert all(len(set(plane.flatten().tolist())) == 2 for image in painted for plane in image)


def test_a_blanked_square_has_at_most_its_side() -> None:
    """At most half of the shorter side along either axis."""
    bent = bend_images(torch.ones(30, 3, 8, 10), ImageAugment(erase=0.5), _rng())
    rows, columns = ((bent == 0).any(dim=axis).any(dim=1).sum(dim=-1) for axis in (3, 2))
    assert 1 <= int(rows.max()) <= 4
    assert torch.equal(rows, columns)


def _rows(preprocessing: Preprocessing, x: np.ndarray) -> Rows:
    facts = np.arange(len(x))
    return Rows(x, facts % 2, facts, facts, facts, build_pipeline(preprocessing))


def _batch(rows: Rows, channels: int, how: Augment | None) -> tuple[torch.Tensor, torch.Tensor]:
    scale = np.full(channels, 0.5, dtype=np.float32)
    return Batches.of(rows, 2, scale, how).batch(np.arange(len(rows)), _rng())


def test_batches_are_what_serving_computes_times_the_scale() -> None:
    """Without augmentation, raw sound and images run through their pipeline, no more."""
    waves = np.random.default_rng(1).integers(-9000, 9000, (4, 400)).astype(np.int16)
    x, targets = _batch(_rows(SOUND, waves), 8, None)
    expected = np.stack([build_pipeline(SOUND).window(clip) for clip in waves]) * 0.5
    np.testing.assert_allclose(expected, x.numpy(), rtol=1e-6)
    assert [[1, 0], [0, 1], [1, 0], [0, 1]] == targets.tolist()


def test_mixing_rows_mixes_their_labels_by_the_same_share() -> None:
    """An image of ones of one class and of zeros of the other: brightness tells the share of the class."""
    images = np.zeros((16, 4, 4, 3), dtype=np.uint8)
    images[::2] = 200
    spec = ImageSpec(height=4, width=4, mean=(0.0, 0.0, 0.0))
    x, targets = _batch(_rows(spec, images), 3, ImageAugment(mixup=0.8))
    torch.testing.assert_close(x.mean(dim=(1, 2, 3)) / 100.0, targets[:, 0])
    torch.testing.assert_close(torch.ones(16), targets.sum(dim=1))


def test_windows_of_motion_are_mixed_until_the_batches_are_unmixed() -> None:
    """A mixed row is a blend of two rows by the share of its labels; `unmixed` leaves rows alone."""
    x = np.repeat(np.eye(9, dtype=np.float32)[:, :, None], 8, axis=2)
    labels = np.arange(9)
    rows = Rows(x, labels, labels, labels, labels)
    batches = Batches.of(rows, 9, np.ones(9, dtype=np.float32), InertialAugment(mixup=0.8))
    mixed, shares = batches.batch(labels, _rng())
    torch.testing.assert_close(shares, mixed.mean(dim=-1))
    assert not torch.equal(torch.from_numpy(x), mixed)
    alone, targets = batches.unmixed().batch(labels, _rng())
    torch.testing.assert_close(torch.from_numpy(x), alone)
    torch.testing.assert_close(torch.eye(9), targets)
