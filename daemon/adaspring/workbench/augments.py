"""How far training rows may be bent, as a recipe declares it under ``[training.augment]``."""

from __future__ import annotations

from typing import TypeAlias

import msgspec


class InertialAugment(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="inertial"):
    """Windows of inertial sensors; 0 leaves them as they are.

    Attributes:
        shift: Whether windows start anywhere in a recording, not only where they were cut.
        rotation_deg: Standard deviation of the angle by which the sensor is turned.
        amplitude: Standard deviation of the relative amplitude.
        noise: Standard deviation of added noise, relative to the scale of a channel.
        mixup: Parameter of the beta distribution by which two rows and their labels are mixed.
    """

    shift: bool = False
    rotation_deg: float = 0.0
    amplitude: float = 0.0
    noise: float = 0.0
    mixup: float = 0.0


class SoundAugment(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="sound"):
    """Sound; 0 leaves it as it is.

    Attributes:
        shift_s: Greatest shift of a clip in time, to either side; what leaves at one end enters at the other.
        gain_db: Standard deviation of the gain.
        noise_db: Level of added white noise below full scale, drawn up to so many decibel louder than -90.
        bands: Most neighbouring mel bands that are blanked.
        frames: Most neighbouring frames that are blanked.
        mixup: Parameter of the beta distribution by which two rows and their labels are mixed.
    """

    shift_s: float = 0.0
    gain_db: float = 0.0
    noise_db: float = 0.0
    bands: int = 0
    frames: int = 0
    mixup: float = 0.0


class ImageAugment(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="image"):
    """Images; 0 leaves them as they are.

    Attributes:
        flip: Whether left and right are swapped in every other image.
        shift: Greatest shift along either axis, as a share of the side.
        zoom: Standard deviation of the logarithm of the magnification.
        rotation_deg: Standard deviation of the angle.
        colour: Standard deviation of the relative gain and the offset of each channel, in units of its scale.
        erase: Greatest side of a blanked square, as a share of the shorter side.
        mixup: Parameter of the beta distribution by which two rows and their labels are mixed.
    """

    flip: bool = False
    shift: float = 0.0
    zoom: float = 0.0
    rotation_deg: float = 0.0
    colour: float = 0.0
    erase: float = 0.0
    mixup: float = 0.0


Augment: TypeAlias = InertialAugment | SoundAugment | ImageAugment
