"""From a bundle to what is served of it: what clients are told, and how raw samples become inputs."""

from __future__ import annotations

from math import prod

import msgspec
import numpy as np

from adaspring.bundle import Bundle
from adaspring.features import ImageSpec, Pipeline, Preprocessing, build_pipeline
from adaspring.serve.protocol import DATATYPES, DEFAULT_LIMITS, Limits, ModelSignature, RawInput, datatype_of


def pipeline_of(bundle: Bundle) -> Pipeline | None:
    """The preprocessing that a bundle declares; None where it declares none.

    Raises:
        FeatureError: If what it declares cannot be.
    """
    declared = bundle.manifest.preprocessing
    return None if declared is None else build_pipeline(declared)


def signature(bundle: Bundle, pipeline: Pipeline | None) -> ModelSignature:
    """What a bundle takes and gives.

    Args:
        bundle: The bundle.
        pipeline: Its preprocessing.
    """
    manifest = bundle.manifest
    declared = manifest.preprocessing
    return ModelSignature(
        name=manifest.name,
        version=manifest.version,
        input_name=manifest.input.name,
        input_shape=manifest.input.shape,
        output_name=manifest.output.name,
        outputs=len(manifest.output.labels),
        labels=manifest.output.labels,
        raw=None if declared is None or pipeline is None else raw_input(declared, pipeline),
    )


def raw_input(declared: Preprocessing, pipeline: Pipeline) -> RawInput:
    """What a sensor gives, as clients are told."""
    raw = pipeline.raw
    # Images of any size are resized.
    shape = (-1, -1, *raw.shape[2:]) if isinstance(declared, ImageSpec) else raw.shape
    kind = str(declared.__struct_config__.tag)
    return RawInput(kind, datatype_of(np.dtype(raw.dtype)), shape, raw.channels, raw.rate_hz, pipeline.hop)


def limits_of(*models: ModelSignature) -> Limits:
    """What a message to one of some models may be: as many samples as a request may have, and its header.

    libzmq applies it to each frame before the daemon sees any of a message, so it is the one
    limit that a flood of large frames meets. Images of any size keep the general limit.
    """
    sizes = [DATATYPES["FP32"].itemsize * prod(model.input_shape) for model in models]
    for raw in (model.raw for model in models if model.raw is not None):
        if -1 in raw.shape:
            return DEFAULT_LIMITS
        sizes.append(DATATYPES[raw.datatype].itemsize * prod(raw.shape))
    needed = DEFAULT_LIMITS.header_bytes + DEFAULT_LIMITS.samples * max(sizes)
    return msgspec.structs.replace(DEFAULT_LIMITS, message_bytes=min(DEFAULT_LIMITS.message_bytes, needed))
