"""Reading and writing bundles: verified whole before the first array is used."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import msgspec
import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.numpy

from adaspring.bundle.manifest import FORMAT, Manifest
from adaspring.errors import BundleCorruptError, BundleError, BundleMissingError, BundleVersionError, TableError
from adaspring.space import SearchSpace
from adaspring.tables import SlotTable

MANIFEST = "manifest.json"
WEIGHTS = "weights.safetensors"
TABLES = "tables.npz"
CARD = "card.md"
REQUIRED = (WEIGHTS, TABLES, CARD)

Array = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class AccuracyTables:
    """What the accuracy of a subnet is expected to be, learned at design time.

    Attributes:
        percent: Accuracy in percent, additive over (slot, running width, choice), and over pairs of blocks where
            those were found to tell more.
        error_points: Mean absolute error on subnets that the fit had not seen, in points.
        kendall_tau: Rank correlation on them.
        subnets: Subnets measured for the fit.
    """

    percent: SlotTable
    error_points: float
    kendall_tau: float
    subnets: int


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified bundle in memory.

    Attributes:
        manifest: What it says of itself.
        digest: SHA-256 of the manifest, which holds the hashes of all else.
        space: The search space, indexed.
        weights: Arrays by name: ``<layer>.weight``, ``.gamma``, ``.beta``, ``.bias``, and the
            statistics ``<layer>.mean`` and ``<layer>.log_std`` (see `engine.assemble`); with int8
            also the ranges ``<tensor>.range`` (see `engine.quantize`).
        accuracy: Accuracy tables.
    """

    manifest: Manifest
    digest: str
    space: SearchSpace
    weights: dict[str, Array]
    accuracy: AccuracyTables


def load_bundle(path: Path) -> Bundle:
    """Read a bundle, after every hash matches.

    Raises:
        BundleMissingError: If the folder, the manifest or a file is not there.
        BundleVersionError: If the format is not one that this release reads.
        BundleCorruptError: If a file differs from its hash or cannot be parsed.
    """
    text = _read(path, MANIFEST)
    manifest = _parse_manifest(path, text)
    missing = [name for name in REQUIRED if name not in manifest.files]
    if missing:
        raise BundleCorruptError(f"bundle {path}: the manifest has no hash for {', '.join(missing)}")
    contents = {name: _read_verified(path, name, digest) for name, digest in manifest.files.items()}
    space = SearchSpace(manifest.space)
    try:
        weights = safetensors.numpy.load(contents[WEIGHTS])
    except safetensors.SafetensorError as error:
        raise BundleCorruptError(f"bundle {path}: {WEIGHTS} cannot be read: {error}") from error
    return Bundle(
        manifest=manifest,
        digest=hashlib.sha256(text).hexdigest(),
        space=space,
        weights=weights,
        accuracy=_load_accuracy(path, space, contents[TABLES]),
    )


def write_bundle(
    path: Path, manifest: Manifest, weights: dict[str, Array], accuracy: AccuracyTables, card: str
) -> Manifest:
    """Write a bundle; the hashes of the manifest are filled in here.

    Returns:
        The manifest as written.
    """
    path.mkdir(parents=True, exist_ok=True)
    tables = io.BytesIO()
    arrays: dict[str, npt.ArrayLike] = {
        "accuracy_values": accuracy.percent.values,
        "accuracy_head": accuracy.percent.head,
        "accuracy_error_points": np.float64(accuracy.error_points),
        "accuracy_kendall_tau": np.float64(accuracy.kendall_tau),
        "accuracy_subnets": np.int64(accuracy.subnets),
    }
    if accuracy.percent.pairs is not None:
        arrays["accuracy_pairs"] = accuracy.percent.pairs
    np.savez_compressed(tables, **arrays)  # type: ignore[arg-type]  # its stub takes any for allow_pickle
    contents = {
        WEIGHTS: safetensors.numpy.save({name: np.ascontiguousarray(array) for name, array in sorted(weights.items())}),
        TABLES: tables.getvalue(),
        CARD: card.encode(),
    }
    files = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    manifest = msgspec.structs.replace(manifest, files=files)
    for name, content in contents.items():
        (path / name).write_bytes(content)
    (path / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
    return manifest


def _parse_manifest(path: Path, text: bytes) -> Manifest:
    try:
        head = msgspec.json.decode(text, type=_FormatOnly)
    except msgspec.DecodeError as error:
        raise BundleCorruptError(f"bundle {path}: {MANIFEST} cannot be read: {error}") from error
    if head.format != FORMAT:
        raise BundleVersionError(f"bundle {path}: format {head.format} is unknown; this release reads format {FORMAT}")
    try:
        return msgspec.json.decode(text, type=Manifest)
    except msgspec.DecodeError as error:
        raise BundleCorruptError(f"bundle {path}: {MANIFEST} cannot be read: {error}") from error


class _FormatOnly(msgspec.Struct):
    format: int


def _read(path: Path, name: str) -> bytes:
    if "/" in name or name.startswith("."):
        raise BundleCorruptError(f"bundle {path}: {name!r} is no name of a file beside the manifest")
    try:
        return (path / name).read_bytes()
    except FileNotFoundError as error:
        raise BundleMissingError(f"bundle {path}: {name} is missing") from error
    except OSError as error:
        raise BundleError(f"bundle {path}: {name} cannot be read: {error.strerror}") from error


def _read_verified(path: Path, name: str, digest: str) -> bytes:
    content = _read(path, name)
    found = hashlib.sha256(content).hexdigest()
    if found != digest:
        raise BundleCorruptError(
            f"bundle {path}: {name} is not the file that the manifest names "
            f"(sha256 {found[:12]}…, expected {digest[:12]}…)"
        )
    return content


def _load_accuracy(path: Path, space: SearchSpace, content: bytes) -> AccuracyTables:
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            tables = AccuracyTables(
                percent=SlotTable(
                    arrays["accuracy_values"],
                    arrays["accuracy_head"],
                    arrays.get("accuracy_pairs"),
                ),
                error_points=float(arrays["accuracy_error_points"]),
                kendall_tau=float(arrays["accuracy_kendall_tau"]),
                subnets=int(arrays["accuracy_subnets"]),
            )
        tables.percent.check(space, "accuracy")
    except (KeyError, ValueError, OSError, EOFError, BadZipFile, TableError) as error:
        raise BundleCorruptError(f"bundle {path}: {TABLES}: {error}") from error
    return tables
