"""Costs that follow from the space alone: MACs, parameters, activation memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from adaspring.space.lowering import lower, lower_slot
from adaspring.space.space import Genome, SearchSpace

Table = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SubnetCosts:
    """What a subnet costs on any device, for one sample.

    Attributes:
        macs: Multiply-accumulates.
        parameters: Weights and biases, batch norm folded.
        peak_activation_elements: Most elements alive at one time, branches and shortcuts included.
        layers: Number of convolutions, the classifier not counted.
    """

    macs: int
    parameters: int
    peak_activation_elements: int
    layers: int


@dataclass(frozen=True, slots=True)
class AnalyticTables:
    """Costs over (slot, running width, choice), shape ``(S, W, C)``, and of the head, shape ``(W,)``.

    MACs, parameters and traffic (activation elements read and written) add up along
    the slots; activations (elements alive at one time) are a maximum. An illegal
    (slot, running width, choice) holds infinity, a skip zero.
    """

    macs: Table
    parameters: Table
    activations: Table
    traffic: Table
    head_macs: Table
    head_parameters: Table


def subnet_costs(space: SearchSpace, genome: Genome) -> SubnetCosts:
    """Costs of one subnet, counted from its layers."""
    blocks = lower(space, genome)
    layers = [layer for block in blocks for layer in block.layers]
    head = blocks[-1].out_channels * space.spec.outputs
    return SubnetCosts(
        macs=sum(layer.macs for layer in layers) + head,
        parameters=sum(layer.parameters for layer in layers) + head + space.spec.outputs,
        peak_activation_elements=max(block.peak_elements for block in blocks),
        layers=len(layers),
    )


def analytic_tables(space: SearchSpace) -> AnalyticTables:
    """Costs of every (slot, running width, choice)."""
    macs = np.where(space.legal, 0.0, np.inf)
    parameters, activations, traffic = macs.copy(), macs.copy(), macs.copy()
    for slot, incoming, index in np.argwhere(space.legal):
        choice = space.choices[slot][index]
        if choice.operator is None:
            continue
        block = lower_slot(space, int(slot), choice.operator, int(space.widths[incoming]), choice.width)
        where = (slot, incoming, index)
        macs[where] = sum(layer.macs for layer in block.layers)
        parameters[where] = sum(layer.parameters for layer in block.layers)
        activations[where] = block.peak_elements
        traffic[where] = block.traffic_elements
    head = space.widths.astype(np.float64) * space.spec.outputs
    return AnalyticTables(
        macs, parameters, activations, traffic, head_macs=head, head_parameters=head + space.spec.outputs
    )
