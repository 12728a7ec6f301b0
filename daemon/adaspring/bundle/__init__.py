"""Bundles: the on-disk format, verified before use."""

from adaspring.bundle.archive import unpacked
from adaspring.bundle.bundle import AccuracyTables, Bundle, load_bundle, write_bundle
from adaspring.bundle.disk import Disk
from adaspring.bundle.manifest import FORMAT, Accuracy, InputSpec, Manifest, OutputSpec, TrainingFacts
from adaspring.bundle.signature import check_signature, make_keys, sign_bundle
from adaspring.bundle.store import Pointer, Store, TrialState, version_name

__all__ = [
    "FORMAT",
    "Accuracy",
    "AccuracyTables",
    "Bundle",
    "Disk",
    "InputSpec",
    "Manifest",
    "OutputSpec",
    "Pointer",
    "Store",
    "TrainingFacts",
    "TrialState",
    "check_signature",
    "load_bundle",
    "make_keys",
    "sign_bundle",
    "unpacked",
    "version_name",
    "write_bundle",
]
