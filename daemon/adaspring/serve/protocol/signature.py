"""What the served model takes and gives."""

from __future__ import annotations

import msgspec


class RawInput(msgspec.Struct, frozen=True):
    """What a sensor gives, where the bundle declares how that becomes the input.

    Attributes:
        kind: Kind of the preprocessing, for example ``"log_mel"``.
        datatype: Datatype of its samples.
        shape: Shape of one raw window; -1 where any extent is taken.
        channels: What each channel is, with its unit.
        rate_hz: Samples a second; None where there is no time axis.
        hop: Samples from one column of the input to the next; None where samples are no stream.
        name: Name of the tensor.
    """

    kind: str
    datatype: str
    shape: tuple[int, ...]
    channels: tuple[str, ...] = ()
    rate_hz: float | None = None
    hop: int | None = None
    name: str = "raw"


class ModelSignature(msgspec.Struct, frozen=True):
    """The model as the wire sees it.

    Attributes:
        name: Name of the model.
        version: Version of its bundle.
        input_name: Name of the input tensor.
        input_shape: Shape of one sample, without the batch axis.
        output_name: Name of the output tensor.
        outputs: Values that it gives for one sample.
        labels: What each of them stands for; empty where they are no classes.
        datatypes: Datatypes accepted, the native one first. Each must convert to
            float32 without loss.
        raw: What may be sent instead of the input; None where nothing else is taken.
    """

    name: str
    version: str
    input_name: str
    input_shape: tuple[int, ...]
    output_name: str
    outputs: int
    labels: tuple[str, ...]
    datatypes: tuple[str, ...] = ("FP32", "FP16")
    raw: RawInput | None = None
