"""Assembled subnets against themselves exported by torch.onnx and run by bare onnxruntime, in int8, and in torch.

Torch is measured eagerly, as the engine runs it, and as a graph traced and frozen by torch.jit, which the engine
does not make: `freezing_ms` is what one takes beside its gain.
"""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch

from adaspring.bundle import Bundle
from adaspring.engine.assemble import Assembler
from adaspring.engine.onnx.engine import IMAGE_AXES, OnnxEngine, session_options
from adaspring.engine.onnx.graph import encode
from adaspring.engine.onnx.proto import INPUT, OUTPUT
from adaspring.engine.torch.engine import TorchEngine
from adaspring.engine.torch.subnet import TorchSubnet
from adaspring.space import Genome, SearchSpace
from benchmarks.harness import bundle, finish, frames_of, percentile, shipped

#: The full network, the smallest, and random ones between.
RANDOM_SUBNETS = 6
#: Rounds in which each contender runs in turn, so that what disturbs one disturbs all.
ROUNDS = 300
#: Runs in which torch.jit looks at a graph and compiles it.
FREEZING_RUNS = 4


class _Module(torch.nn.Module):
    def __init__(self, subnet: TorchSubnet) -> None:
        super().__init__()
        self._subnet = subnet

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._subnet.forward(x)


def main() -> None:
    """Measure every bundle that ships with the project."""
    finish({"bundles": {name: _measure(name) for name in shipped()}, "rounds": ROUNDS})


def _measure(name: str) -> dict[str, Any]:
    served = bundle(name)
    space, frames = served.space, frames_of(name, 16)
    ours, eager = OnnxEngine(served), TorchEngine(served)
    in_float = space.spec.precisions.index("float32")
    genomes = [space.full(), space.smallest(), *space.random(np.random.default_rng(2), RANDOM_SUBNETS)]
    times_us, freezing_ms, errors = [], [], []
    for genome in (_in_precision(genome, in_float) for genome in genomes):
        subnet, eager_subnet = ours.prepare(genome).subnet, eager.prepare(genome).subnet
        started_s = time.perf_counter()
        frozen = _frozen(eager_subnet, frames[:1])
        freezing_ms.append((time.perf_counter() - started_s) * 1e3)
        contenders: list[Callable[[Any], object]] = [
            partial(_run, subnet),
            _exported(eager_subnet, frames[:1]),
            partial(_run, eager_subnet),
            frozen,
        ]
        contenders += [partial(_run, ours.prepare(other).subnet) for other in _in_int8(space, genome)]
        times_us.append(_in_turn_us(contenders, frames))
        errors += [float(np.abs(subnet.run(frame) - eager_subnet.run(frame)).max()) for frame in frames[:, None]]
    ours_us, exported_us, eager_us, frozen_us, *int8_us = np.array(times_us).T
    return {
        "full_us": round(float(ours_us[0]), 1),
        "ratio_to_export": percentile(ours_us / exported_us, 50),
        "worst_ratio_to_export": percentile(ours_us / exported_us, 100),
        "speedup_over_eager_torch": percentile(eager_us / ours_us, 50),
        "least_speedup_over_eager_torch": percentile(eager_us / ours_us, 0),
        "int8_speedup": percentile(ours_us / int8_us[0], 50) if int8_us else None,
        "least_int8_speedup": percentile(ours_us / int8_us[0], 0) if int8_us else None,
        "frozen_speedup_over_eager_torch": percentile(eager_us / frozen_us, 50),
        "freezing_ms": percentile(freezing_ms, 50),
        "max_abs_error": float(f"{max(errors):.3g}"),
        "session_options_us": _options_us(served, frames),
    }


def _options_us(served: Bundle, frames: np.ndarray[Any, np.dtype[np.float32]]) -> dict[str, float]:
    """The full network under the options that sessions have, and with one of them turned about each time."""
    shape = served.manifest.input.shape
    assembled = Assembler(served).assemble(served.space.full())
    model = encode(assembled, shape, served.space.spec.outputs)
    in_blocks = len(shape) == IMAGE_AXES
    with_arena = session_options(1, in_blocks=in_blocks)
    with_arena.enable_cpu_mem_arena = True
    ways = {
        "as_served": session_options(1, in_blocks=in_blocks),
        "with_arena": with_arena,
        "two_threads": session_options(2, in_blocks=in_blocks),
        "other_layout": session_options(1, in_blocks=not in_blocks),
    }
    sessions = [
        onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"]) for options in ways.values()
    ]
    runs: list[Callable[[Any], object]] = [lambda x, each=each: each.run([OUTPUT], {INPUT: x}) for each in sessions]  # type: ignore[misc]
    return {name: round(took_us, 1) for name, took_us in zip(ways, _in_turn_us(runs, frames), strict=True)}


def _in_precision(genome: Genome, gene: int) -> Genome:
    changed = genome.copy()
    changed[-1] = gene
    return changed


def _in_int8(space: SearchSpace, genome: Genome) -> list[Genome]:
    """The same subnet in int8; none where the bundle offers float32 alone."""
    return [_in_precision(genome, gene) for gene, precision in enumerate(space.spec.precisions) if precision == "int8"]


def _run(subnet: Any, frame: np.ndarray[Any, np.dtype[np.float32]]) -> object:
    return subnet.run(frame)


def _exported(subnet: Any, frame: np.ndarray[Any, np.dtype[np.float32]]) -> Callable[[Any], object]:
    """The subnet as torch.onnx writes it, run by onnxruntime as it comes but for the one thread that ours has."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), torch.inference_mode():
        file = Path(folder) / "subnet.onnx"
        # The exporter warns that another one exists, which needs further packages.
        warnings.simplefilter("ignore")
        torch.onnx.export(_Module(subnet), (torch.from_numpy(frame),), file, input_names=["x"], dynamo=False)
        model = file.read_bytes()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda x: session.run(None, {"x": x})


def _frozen(subnet: Any, frame: np.ndarray[Any, np.dtype[np.float32]]) -> Callable[[Any], object]:
    """The subnet as a graph that torch.jit traced and froze, run until it is steady."""
    with warnings.catch_warnings(), torch.no_grad():
        # torch.jit is marked as deprecated; what stands in for it takes seconds to start.
        warnings.simplefilter("ignore")
        example = (torch.from_numpy(frame),)
        traced = torch.jit.trace(_Module(subnet).eval(), example, check_trace=False)  # type: ignore[no-untyped-call]
        graph = torch.jit.freeze(traced)

    @torch.inference_mode()
    def run(x: Any) -> object:
        return graph(torch.from_numpy(x)).numpy()

    for _ in range(FREEZING_RUNS):
        run(frame)
    return run


def _in_turn_us(
    contenders: list[Callable[[Any], object]], frames: np.ndarray[Any, np.dtype[np.float32]]
) -> list[float]:
    """The 20th percentile of each, which repeats to a few percent where the median does not."""
    taken = np.zeros((len(contenders), ROUNDS))
    for round_ in range(ROUNDS):
        frame = frames[round_ % len(frames)][None]
        for index, contender in enumerate(contenders):
            # What ran before it left the caches to itself.
            contender(frame)
            started_s = time.perf_counter()
            contender(frame)
            taken[index, round_] = time.perf_counter() - started_s
    low: list[float] = (np.percentile(taken, 20, axis=1) * 1e6).tolist()
    return low


if __name__ == "__main__":
    main()
