"""An estimate of latency from a profile alone, until subnets are measured on the board."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from adaspring.boards.profile import DeviceProfile
from adaspring.space import SearchSpace, analytic_tables, lower_slot
from adaspring.tables import SlotTable

Array = npt.NDArray[np.float64]

#: Bytes of one element.
_ELEMENT_BYTES = {"float32": 4.0, "int8": 1.0}
#: Behind the last slot run a pooling and a classifier.
_HEAD_LAYERS = 2


def roofline_latency(space: SearchSpace, profile: DeviceProfile) -> SlotTable:
    """Estimate latency at batch 1 on one core; nothing of it is measured.

    A slot takes as long as the slower of its arithmetic and its memory traffic (the
    roofline of Williams, Waterman and Patterson, Communications of the ACM 52, 2009), plus
    a constant for each layer. int8 is credited with less traffic, not with faster
    arithmetic: whether a board is quicker in int8 is for a measurement to say.

    Args:
        space: The search space.
        profile: Of the board.

    Returns:
        Microseconds; infinite where a pair is illegal.
    """
    analytic = analytic_tables(space)
    macs_per_us = profile.roofline.gmac_per_s.value * 1e3
    bytes_per_us = profile.memory.bandwidth_gb_s.value * 1e3
    layer_us = profile.roofline.layer_us.value
    overhead_us = _layer_counts(space)[:, None, :] * layer_us

    def slower(macs: Array, elements: Array, element_bytes: float) -> Array:
        return np.maximum(macs / macs_per_us, elements * element_bytes / bytes_per_us)

    values, head = [], []
    for precision in space.spec.precisions:
        size = _ELEMENT_BYTES[precision]
        values.append(slower(analytic.macs, analytic.parameters + analytic.traffic, size) + overhead_us)
        head.append(slower(analytic.head_macs, analytic.head_parameters, size) + _HEAD_LAYERS * layer_us)
    return SlotTable(np.stack(values), np.stack(head))


def _layer_counts(space: SearchSpace) -> Array:
    """Layers that each choice lowers to, shape ``(S, C)``; a skip has none."""
    counts = np.zeros((space.slot_count, int(space.choice_counts.max())))
    for slot, choices in enumerate(space.choices):
        for index, choice in enumerate(choices):
            if choice.operator is not None:
                # The number of layers is the same for all widths.
                counts[slot, index] = len(lower_slot(space, slot, choice.operator, choice.width, choice.width).layers)
    return counts
