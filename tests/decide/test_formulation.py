from __future__ import annotations

import numpy as np
import pytest

from adaspring.context.model import Context
from adaspring.decide import Policy, budgets
from adaspring.decide.decision import Corrections
from adaspring.decide.formulation import LEAST_SPAN_POINTS, Formulation, reference_of
from adaspring.decide.problem import ACCURACY, ENERGY, LATENCY, MEMORY
from adaspring.space import SearchSpace
from adaspring.tables import DeviceTables, SlotTable

CONTEXT = Context(at_s=1.0, battery_percent=50.0, temperature_c=40.0, memory_available_mib=500.0, event_rate_hz=5.0)


@pytest.fixture
def formulation(space: SearchSpace, accuracy: SlotTable, device_tables: DeviceTables) -> Formulation:
    """Of the space and the tables that these tests share."""
    return Formulation.of(space, accuracy, device_tables, reference_of(space, accuracy, device_tables))


def test_the_reference_is_the_full_network(
    space: SearchSpace, accuracy: SlotTable, device_tables: DeviceTables
) -> None:
    """Loss is measured from its accuracy, over a span that never vanishes."""
    reference = reference_of(space, accuracy, device_tables)
    assert accuracy.evaluate(space, space.full()[None])[0] == reference.accuracy_percent
    assert device_tables.energy_mj.evaluate(space, space.full()[None])[0] == reference.energy_mj
    flat = SlotTable(np.zeros_like(accuracy.values), np.full_like(accuracy.head, 50.0))
    assert reference_of(space, flat, device_tables).accuracy_span_points == LEAST_SPAN_POINTS


def test_predictions_are_the_tables_times_the_factors(
    formulation: Formulation, space: SearchSpace, device_tables: DeviceTables
) -> None:
    """Through the problem's scaling and back, each figure is that of its table, corrected."""
    for genome in space.random(np.random.default_rng(0), 50):
        predicted = formulation.predict(genome, Corrections(2.0, 1.5, 3.0, 2.0))
        latency_us = float(device_tables.latency_us.evaluate(space, genome[None])[0])
        energy_mj = float(device_tables.energy_mj.evaluate(space, genome[None])[0])
        assert predicted.latency_us == pytest.approx(latency_us)
        assert predicted.latency_p95_us == pytest.approx(2.0 * 1.5 * latency_us)
        assert predicted.energy_mj == pytest.approx(3.0 * energy_mj)


def test_limits_are_budgets_in_the_units_of_the_tables(formulation: Formulation) -> None:
    """What was learned about latency and energy tightens their limits; what has no budget is not limited."""
    allowed = budgets(Policy(), CONTEXT, formulation.reference)
    plain, corrected = (formulation.limits(allowed, Corrections(factor, 1.5, factor, factor)) for factor in (1.0, 2.0))
    assert plain[LATENCY] == pytest.approx(2.0 * corrected[LATENCY])
    assert plain[ENERGY] == pytest.approx(2.0 * corrected[ENERGY])
    assert plain[[ACCURACY, MEMORY]].tolist() == corrected[[ACCURACY, MEMORY]].tolist()
    assert plain[ACCURACY] == formulation.reference.accuracy_percent - allowed.accuracy_percent
    assert np.isinf(plain[ENERGY]) == (allowed.energy_mj is None)


def test_the_objective_weighs_accuracy_and_energy_alone(formulation: Formulation) -> None:
    """Latency and memory are budgets, not objectives."""
    allowed = budgets(Policy(), CONTEXT, formulation.reference)
    weights = formulation.weights(allowed)
    assert [weights[LATENCY], weights[MEMORY]] == [0.0, 0.0]
    assert weights[ACCURACY] * formulation.reference.accuracy_span_points == pytest.approx(allowed.lambda_accuracy)
    assert weights[ENERGY] * formulation.reference.energy_mj == pytest.approx(allowed.lambda_energy)
