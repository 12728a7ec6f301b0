"""The section of a card that belongs to one machine: latency for each engine and precision, energy modelled from it."""

from __future__ import annotations

import platform
from pathlib import Path

import msgspec
import numpy as np
import torch

from adaspring.boards.profile import DeviceProfile, Figure
from adaspring.bundle import Bundle, write_bundle
from adaspring.engine.base import Engine
from adaspring.engine.onnx.engine import OnnxEngine
from adaspring.engine.torch.engine import TorchEngine
from adaspring.workbench.evaluate import typical
from adaspring.workbench.timing import Machine, energy_mj, extremes, moved_bytes, time_in_turn

#: Timed runs of each subnet.
RUNS = 200

HEADING = "## Latency and energy"

#: The section of a card that this one stands before.
BEFORE = "## Training"


class Cost(msgspec.Struct, frozen=True):
    """What one frame costs.

    Attributes:
        subnet: Which of the typical subnets.
        engine: Name of the engine.
        precision: Of its arithmetic.
        latency_us: Median.
        latency_p95_us: 95th percentile.
        energy_mj: Modelled energy, at the coefficients' values.
        energy_range_mj: Least and greatest over the ranges of the coefficients.
    """

    subnet: str
    engine: str
    precision: str
    latency_us: float
    latency_p95_us: float
    energy_mj: float
    energy_range_mj: tuple[float, float]


def costs(bundle: Bundle, board: DeviceProfile, runs: int = RUNS) -> tuple[list[Cost], Machine]:
    """Time the typical subnets of a bundle in every engine and precision, one thread each, in turn.

    Args:
        bundle: The bundle.
        board: Whose energy coefficients count.
        runs: Timed runs of each.
    """
    space, threads = bundle.space, torch.get_num_threads()
    engines: tuple[Engine, ...] = (OnnxEngine(bundle, threads=1), TorchEngine(bundle, threads=1))
    each = [
        (title, engine, genome)
        for title, subnet in typical(space).items()
        for engine in engines
        for genome in (space.in_precision(subnet, precision) for precision in space.spec.precisions)
    ]
    subnets = [engine.prepare(genome).subnet for _, engine, genome in each]
    elapsed_us, machine = time_in_turn(subnets, bundle.manifest.input.shape, runs)
    torch.set_num_threads(threads)
    medians, tails = np.percentile(elapsed_us, [50.0, 95.0], axis=0).tolist()
    found = []
    for (title, engine, genome), median_us, tail_us in zip(each, medians, tails, strict=True):
        moved = moved_bytes(space, genome)
        corners = [energy_mj(corner, median_us, moved) for corner in extremes(board)]
        found.append(
            Cost(
                subnet=title,
                engine=engine.name,
                precision=space.precision(genome),
                latency_us=median_us,
                latency_p95_us=tail_us,
                energy_mj=energy_mj(board, median_us, moved),
                energy_range_mj=(min(corners), max(corners)),
            )
        )
    return found, machine


def section(bundle: Bundle, board: DeviceProfile, runs: int = RUNS) -> str:
    """The section as Markdown; for the arguments see `costs`."""
    found, machine = costs(bundle, board, runs)
    rows = "\n".join(
        f"| {cost.subnet} | {cost.engine} | {cost.precision} | {cost.latency_us:.1f} | {cost.latency_p95_us:.1f} "
        f"| {cost.energy_mj:.4f} [{cost.energy_range_mj[0]:.4f}, {cost.energy_range_mj[1]:.4f}] |"
        for cost in found
    )
    return f"""{HEADING}

Single frames on one thread of {_processor()}, {machine.runs} of each subnet in turn; load average \
{machine.load_before:.1f} before and {machine.load_after:.1f} behind, both halves of the runs \
{machine.repeat_error_percent:.1f} % apart. The torch engine emulates int8 in float32. A device measures its own \
(`adaspring profile`).

| subnet | engine | precision | latency p50, us | p95, us | energy, mJ [range] |
| --- | --- | --- | --- | --- | --- |
{rows}

Energy is modelled, not measured: what a computing core adds to an idle board, times the median, and the bytes of
weights and activations that a frame moves. The coefficients are those of the profile `{board.name}`, the ranges
follow from theirs:

- `idle_w`: {_because(board.power.idle_w, "W")}
- `load_w`: {_because(board.power.load_w, "W")}
- `byte_pj`: {_because(board.energy.byte_pj, "pJ a byte")}"""


def with_section(card: str, text: str) -> str:
    """A card with the section in its place, instead of the one that it has."""
    before, _, behind = card.partition(BEFORE)
    return f"{before.partition(HEADING)[0]}{text}\n\n{BEFORE}{behind}"


def measure_again(path: Path, bundle: Bundle, board: DeviceProfile, runs: int = RUNS) -> str:
    """Put the section into the card of a bundle that is there, in place of the one that it has.

    Args:
        path: Folder of the bundle.
        bundle: What was read from it.
        board: Whose energy coefficients count.
        runs: Timed runs of each subnet.

    Returns:
        The new card.
    """
    card = with_section((path / "card.md").read_text(encoding="utf-8"), section(bundle, board, runs))
    write_bundle(path, bundle.manifest, bundle.weights, bundle.accuracy, card)
    return card


def _because(figure: Figure, unit: str) -> str:
    if figure.assumption:
        return f"{figure.value:g} {unit}, assumed ({figure.low:g} to {figure.high:g}): {figure.why}."
    return f"{figure.value:g} {unit}: {figure.source}."


def _processor() -> str:
    """What the processor calls itself."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        text = ""
    names = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
