from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import msgspec
import numpy as np
import pytest

from adaspring.boards import DeviceProfile, load_profile
from adaspring.bundle import Bundle
from adaspring.engine.onnx.engine import OnnxEngine
from adaspring.errors import ProfileError, TableError
from adaspring.profile import (
    Plan,
    estimate_tables,
    load_tables,
    profile_bundle,
    save_tables,
    tables_path,
    time_group,
)
from adaspring.profile.measure import BATCH_SIZES, measure_batch_curve
from adaspring.profile.profiler import LEAST_SUBNETS
from adaspring.resources import resource
from adaspring.tables import DeviceTables

PLAN = Plan(subnets=80)


@pytest.fixture(scope="module")
def board() -> DeviceProfile:
    """The profile of an unknown x86-64 machine."""
    return load_profile("generic-x86_64", folder=resource("device_profiles"))


@pytest.fixture(scope="module")
def tables(small_bundle: Bundle, board: DeviceProfile) -> DeviceTables:
    """Tables really measured on this machine."""
    return profile_bundle(small_bundle, OnnxEngine(small_bundle), board, PLAN)


def test_tables_are_measured_and_say_so(small_bundle: Bundle, tables: DeviceTables) -> None:
    """Measured tables fit the space, order the extremes rightly and carry their errors."""
    tables.latency_us.check(small_bundle.space, "latency")
    space = small_bundle.space
    full, smallest = tables.latency_us.evaluate(space, np.stack([space.full(), space.smallest()]))
    assert full > smallest > 0
    facts = tables.facts
    assert (False, 80, small_bundle.digest) == (facts.estimate, facts.subnets, facts.bundle)
    assert facts.fit_mape_percent is not None
    assert facts.repeat_mape_percent is not None
    assert facts.tail_ratio >= 1
    assert (tables.energy_mj.evaluate(space, space.random(np.random.default_rng(0), 20)) > 0).all()


def test_tables_survive_the_disk(tmp_path: Path, small_bundle: Bundle, tables: DeviceTables) -> None:
    """What is saved is loaded, bit for bit, and no other file is left behind."""
    path = tables_path(tmp_path, small_bundle.digest, "board", "engine")
    save_tables(path, tables)
    loaded = load_tables(path, small_bundle.space)
    assert tables.facts == loaded.facts
    np.testing.assert_array_equal(tables.latency_us.values, loaded.latency_us.values)
    np.testing.assert_array_equal(tables.energy_mj.head, loaded.energy_mj.head)
    assert [path] == list(path.parent.iterdir())


def test_batches_are_measured(tables: DeviceTables) -> None:
    """A batch takes longer than a frame, and a larger one longer than a smaller."""
    curve = dict(tables.facts.batch_curve)
    assert list(BATCH_SIZES) == list(curve)
    assert 1 < curve[8] < curve[16]


def test_batches_that_would_hold_everybody_up_are_not_measured(small_bundle: Bundle) -> None:
    """On a network of 20 ms a frame, batches end at two."""
    clock = itertools.count(0, 0.02)
    space = small_bundle.space
    curve = measure_batch_curve(
        OnnxEngine(small_bundle), np.stack([space.full()]), (3, 32), runs=2, clock=lambda: next(clock)
    )
    assert [2] == [size for size, _ in curve]


def test_an_estimate_is_marked(small_bundle: Bundle, board: DeviceProfile) -> None:
    """Roofline tables are usable and say that nothing was measured."""
    tables = estimate_tables(small_bundle, "onnxruntime", board)
    tables.latency_us.check(small_bundle.space, "latency")
    assert (True, 0, None) == (tables.facts.estimate, tables.facts.subnets, tables.facts.fit_mape_percent)


def test_a_cut_run_goes_on_where_it_was(tmp_path: Path, small_bundle: Bundle, board: DeviceProfile) -> None:
    """What was measured before a cut is not measured again; the leftover goes once tables are made."""
    partial = tmp_path / "partial.npz"
    seen: list[int] = []
    times = iter(np.arange(0.0, 1e6, 20.0))  # every look at the clock is 20 s later: a checkpoint each group

    class Cut(Exception):  # noqa: N818 - stands for a power cut
        pass

    def cut(done: int, _: int) -> None:
        if done >= 32:
            raise Cut

    with pytest.raises(Cut):
        profile_bundle(
            small_bundle,
            OnnxEngine(small_bundle),
            board,
            PLAN,
            partial=partial,
            progress=cut,
            clock=lambda: float(next(times)),
        )
    profile_bundle(
        small_bundle, OnnxEngine(small_bundle), board, PLAN, partial=partial, progress=lambda done, _: seen.append(done)
    )
    assert seen[0] == 32
    assert not partial.exists()


def test_too_little_time_is_an_error(small_bundle: Bundle, board: DeviceProfile) -> None:
    """Tables are not fitted to a handful of subnets."""
    plan = Plan(subnets=200, limit_s=0.0)
    with pytest.raises(ProfileError, match=f"tables need at least {LEAST_SUBNETS}"):
        profile_bundle(small_bundle, OnnxEngine(small_bundle), board, plan)


def test_timings_are_ordered(small_bundle: Bundle) -> None:
    """The tail of a subnet's runs is never below their low percentile."""
    genomes = small_bundle.space.random(np.random.default_rng(0), 8)
    timings = time_group(OnnxEngine(small_bundle), genomes, small_bundle.manifest.input.shape, runs=10)
    assert (timings.tail_us >= timings.low_us).all()


def spoil_facts(**changes: object) -> object:
    """A change of the facts of tables."""
    return lambda tables: msgspec.structs.replace(tables, facts=msgspec.structs.replace(tables.facts, **changes))


def spoil_latency(value: float) -> object:
    """A change of one latency entry."""

    def spoil(tables: DeviceTables) -> DeviceTables:
        values = tables.latency_us.values.copy()
        values[0, 0, np.flatnonzero(np.isfinite(values[0, 0, :, 0]))[0], 0] = value
        return msgspec.structs.replace(tables, latency_us=type(tables.latency_us)(values, tables.latency_us.head))

    return spoil


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_facts(version=0), "version 0"),
        (spoil_facts(tail_ratio=0.5), "tail_ratio"),
        (spoil_facts(tail_ratio=float("inf")), "tail_ratio"),
        (spoil_facts(session_mib=-1.0), "session_mib"),
        (spoil_latency(float("nan")), "not a finite number"),
        (spoil_latency(-1e6), "negative"),
    ],
)
def test_unusable_tables_are_refused_by_name(
    tmp_path: Path, small_bundle: Bundle, tables: DeviceTables, spoil: object, message: str
) -> None:
    """Tables of another version, or with values that cannot be, are refused before use."""
    save_tables(tmp_path / "tables.npz", spoil(tables))  # type: ignore[operator]
    with pytest.raises(TableError, match=message) as caught:
        load_tables(tmp_path / "tables.npz", small_bundle.space)
    assert "tables.npz" in str(caught.value)


@pytest.mark.parametrize("missing", ["latency_values", "energy_head", "facts", "atlas_parameters"])
def test_tables_with_a_part_missing_are_refused_by_name(
    tmp_path: Path, small_bundle: Bundle, tables: DeviceTables, missing: str
) -> None:
    """Without one of its arrays a file is no tables, and the message says which and where."""
    path = tmp_path / "tables.npz"
    save_tables(path, tables)
    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
    del arrays[missing]
    np.savez(path, **arrays)
    with pytest.raises(TableError, match=missing) as caught:
        load_tables(path, small_bundle.space)
    assert "tables.npz" in str(caught.value)


def test_a_damaged_file_is_refused(tmp_path: Path, small_bundle: Bundle, tables: DeviceTables) -> None:
    """A torn file is refused, with the command that makes a new one."""
    path = tmp_path / "tables.npz"
    save_tables(path, tables)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(TableError, match="adaspring profile"):
        load_tables(path, small_bundle.space)
    with pytest.raises(FileNotFoundError):
        load_tables(tmp_path / "none.npz", small_bundle.space)


def test_the_atlas_is_stored_with_the_tables(tmp_path: Path, small_bundle: Bundle, tables: DeviceTables) -> None:
    """Profiling builds it, the disk keeps it, and one of another space is refused by name."""
    path = tables_path(tmp_path, small_bundle.digest, "board", "engine")
    save_tables(path, tables)
    loaded = load_tables(path, small_bundle.space).atlas
    assert tables.atlas is not None
    assert loaded is not None
    np.testing.assert_array_equal(tables.atlas.genomes, loaded.genomes)
    np.testing.assert_array_equal(tables.atlas.latency_us, loaded.latency_us)
    genomes = tables.atlas.genomes.copy()
    genomes[0, 0] = 99
    broken = msgspec.structs.replace(tables, atlas=dataclasses.replace(tables.atlas, genomes=genomes))
    save_tables(path, broken)
    with pytest.raises(TableError, match="its atlas does not fit"):
        load_tables(path, small_bundle.space)
