"""Tables made up for a space, and planners over them."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
import pytest

from adaspring.decide import Planner, Policy
from adaspring.space import SearchSpace, SpaceSpec, analytic_tables
from adaspring.tables import DeviceTables, SlotTable, TableFacts

MakePlanner = Callable[..., Planner]


@pytest.fixture(scope="session")
def space(small_spec: SpaceSpec) -> SearchSpace:
    """Some thousand subnets in two precisions."""
    return SearchSpace(msgspec.structs.replace(small_spec, precisions=("float32", "int8")))


@pytest.fixture(scope="session")
def residual_space(residual_spec: SpaceSpec) -> SearchSpace:
    """Some thousand subnets in two precisions, of two residual stages."""
    return SearchSpace(msgspec.structs.replace(residual_spec, precisions=("float32", "int8")))


@pytest.fixture(scope="session")
def device_tables(space: SearchSpace) -> DeviceTables:
    """Latency of 8 us a layer and more with MACs, coupled to neighbours; int8 takes half. Energy goes with it."""
    analytic = analytic_tables(space)
    coupling = np.random.default_rng(0).uniform(0.8, 1.2, analytic.macs.shape)
    latency = np.where(space.legal, (8.0 * (analytic.macs > 0) + analytic.macs / 2e3) * coupling, np.inf)
    precisions = np.array([1.0, 0.5])
    values = precisions[:, None, None, None] * latency
    head = precisions[:, None] * np.full(len(space.widths), 10.0)
    facts = TableFacts(
        version=1,
        bundle="toy",
        device="bench",
        engine="none",
        estimate=False,
        created="2026-01-01T00:00:00+00:00",
        subnets=100,
        percentile=20.0,
        tail_ratio=1.25,
        fit_mape_percent=3.0,
        fit_kendall_tau=0.95,
        repeat_mape_percent=2.0,
        repeat_kendall_tau=0.97,
        energy="modelled",
        session_mib=0.5,
    )
    return DeviceTables(facts, SlotTable(values, head), SlotTable(values * 3e-3 + 1e-3, head * 3e-3))


@pytest.fixture(scope="session")
def accuracy(space: SearchSpace) -> SlotTable:
    """94 % for the full network; every choice but the first costs something, int8 half a point."""
    rng = np.random.default_rng(1)
    loss = rng.uniform(0.1, 2.5, (2, *space.legal.shape))
    loss[..., 0] = 0.0
    loss[:, ~space.legal] = np.inf
    head = np.array([94.0, 93.5])[:, None] * np.ones(len(space.widths))
    return SlotTable(-loss, head)


@pytest.fixture(scope="session")
def make_planner(space: SearchSpace, accuracy: SlotTable, device_tables: DeviceTables) -> MakePlanner:
    """Makes a planner over these tables; keys of the policy are given by name.

    Time does not matter to these tests, so the deadline is far away.
    """

    def make(**policy: object) -> Planner:
        return Planner(space, accuracy, device_tables, Policy(**{"search_deadline_ms": 1e6, **policy}))  # type: ignore[arg-type]

    return make
