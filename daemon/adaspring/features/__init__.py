"""Raw samples -> network input: one numpy code for training and for serving.

A bundle declares in its manifest (`Preprocessing`) what a sensor gives and what the
network takes. `build_pipeline` makes of it a `Pipeline`: a function of one raw window,
and where the samples come as a stream, a `Stream` that keeps the state of one sensor
and puts out the columns of the network input as they become known.
"""

from adaspring.features.image import ImagePipeline, ImageSpec
from adaspring.features.inertial import InertialPipeline, InertialSpec
from adaspring.features.logmel import LogMelPipeline, LogMelSpec
from adaspring.features.pipeline import Pipeline, Preprocessing, Stream, build_pipeline
from adaspring.features.raw import RawSpec

__all__ = [
    "ImagePipeline",
    "ImageSpec",
    "InertialPipeline",
    "InertialSpec",
    "LogMelPipeline",
    "LogMelSpec",
    "Pipeline",
    "Preprocessing",
    "RawSpec",
    "Stream",
    "build_pipeline",
]
