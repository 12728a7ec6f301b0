"""What the served model takes and gives."""

from __future__ import annotations

import msgspec


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
    """

    name: str
    version: str
    input_name: str
    input_shape: tuple[int, ...]
    output_name: str
    outputs: int
    labels: tuple[str, ...]
    datatypes: tuple[str, ...] = ("FP32", "FP16")
