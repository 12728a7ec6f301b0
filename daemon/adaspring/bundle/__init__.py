"""Bundles: the on-disk format, verified before use."""

from adaspring.bundle.bundle import AccuracyTables, Bundle, load_bundle, write_bundle
from adaspring.bundle.manifest import FORMAT, Accuracy, InputSpec, Manifest, OutputSpec, TrainingFacts

__all__ = [
    "FORMAT",
    "Accuracy",
    "AccuracyTables",
    "Bundle",
    "InputSpec",
    "Manifest",
    "OutputSpec",
    "TrainingFacts",
    "load_bundle",
    "write_bundle",
]
