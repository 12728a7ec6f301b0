"""Device tables on disk: in the state directory, versioned, keyed, replaced whole."""

from __future__ import annotations

import glob
import io
import os
from dataclasses import fields
from math import inf
from pathlib import Path
from zipfile import BadZipFile

import msgspec
import numpy as np
import psutil

from adaspring.errors import GenomeError, TableError
from adaspring.space import SearchSpace
from adaspring.tables import TABLES_VERSION, Atlas, DeviceTables, SlotTable, TableFacts, Trellis

_ATLAS = tuple(field.name for field in fields(Atlas))


def tables_path(state: Path, bundle_digest: str, device: str, engine: str) -> Path:
    """Where the tables of a bundle on a device with an engine lie."""
    return state / "tables" / f"v{TABLES_VERSION}-{bundle_digest[:16]}-{device}-{engine}.npz"


def corrected_path(path: Path) -> Path:
    """Where the same tables lie with entries corrected from frames that were served."""
    return path.with_suffix(".corrected.npz")


def save_tables(path: Path, tables: DeviceTables) -> None:
    """Write tables so that a reader sees the old file or the new one, never a part."""
    content = io.BytesIO()
    np.savez_compressed(
        content,
        facts=np.frombuffer(msgspec.json.encode(tables.facts), dtype=np.uint8),
        latency_values=tables.latency_us.values,
        latency_head=tables.latency_us.head,
        energy_values=tables.energy_mj.values,
        energy_head=tables.energy_mj.head,
        **({} if tables.atlas is None else {f"atlas_{name}": getattr(tables.atlas, name) for name in _ATLAS}),
    )
    replace_file(path, content.getvalue())


def peek_tables(path: Path) -> DeviceTables:
    """Read tables without knowing their space: to be looked at, not to be decided from.

    Raises:
        FileNotFoundError: If there are none.
        TableError: If the file is damaged or of another version.
    """
    try:
        # Opened here: numpy leaves the file of a torn archive open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            facts = msgspec.json.decode(arrays["facts"].tobytes(), type=TableFacts)
            tables = DeviceTables(
                facts=facts,
                latency_us=SlotTable(arrays["latency_values"], arrays["latency_head"]),
                energy_mj=SlotTable(arrays["energy_values"], arrays["energy_head"]),
                atlas=Atlas(*(arrays[f"atlas_{name}"] for name in _ATLAS)) if "atlas_genomes" in arrays else None,
            )
    except FileNotFoundError:
        raise
    except (KeyError, ValueError, OSError, EOFError, BadZipFile, msgspec.DecodeError) as error:
        raise TableError(f"tables {path} cannot be read ({error}); profile again: adaspring profile") from error
    if facts.version != TABLES_VERSION:
        raise TableError(
            f"tables {path} have version {facts.version}, not {TABLES_VERSION}; profile again: adaspring profile"
        )
    return tables


def load_tables(path: Path, space: SearchSpace) -> DeviceTables:
    """Read tables and refuse those that must not be used.

    Raises:
        FileNotFoundError: If there are none: this bundle was not profiled here.
        TableError: If the file is damaged, of another version or does not fit the space.
    """
    tables = peek_tables(path)
    for name, least in (("tail_ratio", 1.0), ("session_mib", 0.0)):
        value = getattr(tables.facts, name)
        if value is not None and not least <= value < inf:
            raise TableError(
                f"tables {path}: {name} must be at least {least:g}; it is {value}; profile again: adaspring profile"
            )
    tables.latency_us.check(space, f"latency_us of {path.name}")
    tables.energy_mj.check(space, f"energy_mj of {path.name}")
    trellis = Trellis(space)
    trellis.check(tables.latency_us, f"latency_us of {path.name}")
    trellis.check(tables.energy_mj, f"energy_mj of {path.name}")
    if tables.atlas is not None:
        _check_atlas(path, tables.atlas, space)
    return tables


def _check_atlas(path: Path, atlas: Atlas, space: SearchSpace) -> None:
    try:
        for genome in atlas.genomes.tolist():
            space.check(genome)
    except (GenomeError, TypeError) as error:
        raise TableError(
            f"tables {path}: its atlas does not fit ({error}); profile again: adaspring profile"
        ) from error


def replace_file(path: Path, content: bytes) -> None:
    """Replace a file in one step that survives a power cut (file, then folder, fsynced)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _clear_rests(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _clear_rests(path: Path) -> None:
    """Remove what processes that were killed while they wrote a file have left of it."""
    for rest in path.parent.glob(f".{glob.escape(path.name)}.*"):
        writer = rest.suffix.removeprefix(".")
        if writer.isdecimal() and not psutil.pid_exists(int(writer)):
            rest.unlink(missing_ok=True)
