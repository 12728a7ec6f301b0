import numpy as np

from adaspring.bundle import Bundle
from adaspring.space import subnet_costs
from adaspring.tables import SlotTable
from adaspring.workbench.baselines.selection import SHARES, pool, within


def test_what_is_quick_is_in_the_pool_where_latency_was_measured(small_bundle: Bundle) -> None:
    """The full network and the front by MACs stand there in every precision; latency adds what it calls quick."""
    space, rng = small_bundle.space, np.random.default_rng(0)
    percent = small_bundle.accuracy.percent
    values = np.where(np.isfinite(percent.values), rng.uniform(1.0, 9.0, percent.values.shape), np.inf)
    latency_us = SlotTable(values, np.zeros_like(percent.head))
    by_macs, by_both = ({genome.tobytes() for genome in pool(small_bundle, table)} for table in (None, latency_us))
    assert by_macs < by_both
    full = space.full()
    for precision in range(len(space.spec.precisions)):
        full[-1] = precision
        assert full.tobytes() in by_macs
    quickest_us = latency_us.evaluate(space, pool(small_bundle, latency_us)).min()
    assert quickest_us <= latency_us.evaluate(space, space.random(rng, 2000)).min()


def test_what_is_picked_keeps_to_its_budget(small_bundle: Bundle) -> None:
    """In float32, and within its share of the full network's MACs."""
    space = small_bundle.space
    macs = subnet_costs(space, space.full()).macs
    for share in SHARES:
        picked = within(small_bundle, share)
        assert "float32" == space.precision(picked)
        assert subnet_costs(space, picked).macs <= share * macs
