"""Everything side by side: one run, one engine, one thread, measurements interleaved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

from adaspring.boards.profile import DeviceProfile
from adaspring.bundle import Bundle
from adaspring.engine import Prepared, Subnet
from adaspring.engine.onnx.engine import OnnxEngine
from adaspring.errors import ProfileError
from adaspring.space import Genome, subnet_costs
from adaspring.workbench.accuracy import answers
from adaspring.workbench.data import Rows
from adaspring.workbench.timing import Machine, energy_mj, moved_bytes, time_in_turn

Bools = npt.NDArray[np.bool_]
Array = npt.NDArray[np.float64]

#: Median difference between both halves of the runs from which a machine is too noisy to say anything.
NOISE_LIMIT_PERCENT = 10.0


@dataclass(frozen=True, slots=True)
class Entrant:
    """A subnet that takes part.

    Attributes:
        title: For a person.
        kind: ``"ours"`` or the kind of a rival.
        bundle: What it is assembled from.
        genome: Which subnet of it.
    """

    title: str
    kind: str
    bundle: Bundle
    genome: Genome


class Row(msgspec.Struct, frozen=True):
    """What was measured of one entrant.

    Attributes:
        title: For a person.
        kind: ``"ours"`` or the kind of a rival.
        subnet: Text form of its genome.
        precision: Of its arithmetic.
        retraining: Whether it had to be trained for itself.
        validation_percent: Accuracy on the validation rows.
        test_percent: Accuracy on the test rows.
        macs: Multiply-accumulates, C.
        parameters: Weights and biases, Sp.
        activations: Most activation elements alive, Sa.
        latency_us: Median.
        latency_p95_us: 95th percentile.
        energy_mj: Modelled energy of a frame.
        switch_ms: Time to assemble, load and warm it.
    """

    title: str
    kind: str
    subnet: str
    precision: str
    retraining: bool
    validation_percent: float
    test_percent: float
    macs: int
    parameters: int
    activations: int
    latency_us: float
    latency_p95_us: float
    energy_mj: float
    switch_ms: float


@dataclass(frozen=True, slots=True)
class Measured:
    """A row and what ratios are taken from.

    Attributes:
        row: The row.
        validation: Which validation rows it answers rightly.
        test: Which test rows.
        moved_bytes: Bytes of weights and activations that one frame moves.
    """

    row: Row
    validation: Bools
    test: Bools
    moved_bytes: float


def compare(
    entrants: list[Entrant],
    validation: Rows,
    test: Rows,
    board: DeviceProfile,
    *,
    runs: int,
    noisy: bool = False,
    advance: Callable[[], None] = lambda: None,
) -> tuple[list[Measured], Machine]:
    """Measure all entrants.

    Args:
        entrants: Who takes part.
        validation: Rows on which matches are chosen.
        test: Rows on which accuracy is reported.
        board: Whose energy coefficients count.
        runs: Runs of each subnet, of all in turn.
        noisy: Whether a noisy machine's timings are taken all the same; a test does not need quiet.
        advance: Called after every entrant was judged.

    Returns:
        What was measured, and how the machine was.

    Raises:
        ProfileError: If the machine is too noisy to say.
    """
    engines = {id(entrant.bundle): OnnxEngine(entrant.bundle, threads=1) for entrant in entrants}
    prepared = [engines[id(entrant.bundle)].prepare(entrant.genome) for entrant in entrants]
    right = []
    for one in prepared:
        right.append([_right(one.subnet, rows) for rows in (validation, test)])
        advance()
    shape = entrants[0].bundle.manifest.input.shape
    elapsed_us, machine = time_in_turn([one.subnet for one in prepared], shape, runs)
    if machine.repeat_error_percent > NOISE_LIMIT_PERCENT and not noisy:
        raise ProfileError(
            f"this machine is too noisy to say: both halves of the runs differ by "
            f"{machine.repeat_error_percent:.0f} %; stop what else runs on it and try again"
        )
    measured = [
        _measured(entrant, one, verdicts, column, board)
        for entrant, one, verdicts, column in zip(entrants, prepared, right, elapsed_us.T, strict=True)
    ]
    return measured, machine


def _right(subnet: Subnet, rows: Rows) -> Bools:
    verdict: Bools = answers(subnet, rows.inputs()).argmax(axis=1) == rows.y
    return verdict


def _measured(
    entrant: Entrant, prepared: Prepared, verdicts: list[Bools], elapsed_us: Array, board: DeviceProfile
) -> Measured:
    space, genome = entrant.bundle.space, entrant.genome
    costs = subnet_costs(space, genome)
    moved = moved_bytes(space, genome)
    latency_us = float(np.median(elapsed_us))
    row = Row(
        title=entrant.title,
        kind=entrant.kind,
        subnet=space.format(genome),
        precision=space.precision(genome),
        retraining=entrant.kind not in {"ours", "on-demand"},
        validation_percent=100.0 * float(verdicts[0].mean()),
        test_percent=100.0 * float(verdicts[1].mean()),
        macs=costs.macs,
        parameters=costs.parameters,
        activations=costs.peak_activation_elements,
        latency_us=latency_us,
        latency_p95_us=float(np.percentile(elapsed_us, 95.0)),
        energy_mj=energy_mj(board, latency_us, moved),
        switch_ms=(prepared.assemble_us + prepared.load_us + prepared.warm_us) / 1000.0,
    )
    return Measured(row, verdicts[0], verdicts[1], moved)
