"""Assembled subnets against the same subnets exported by torch.onnx and run by bare onnxruntime, and eager torch."""

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

from adaspring.engine.onnx.engine import OnnxEngine
from adaspring.engine.torch.engine import TorchEngine
from adaspring.engine.torch.subnet import TorchSubnet
from benchmarks.harness import bundle, finish, frames_of, percentile, shipped

#: The full network, the smallest, and random ones between.
RANDOM_SUBNETS = 6
#: Rounds in which each contender runs in turn, so that what disturbs one disturbs all.
ROUNDS = 300


class _Module(torch.nn.Module):
    def __init__(self, subnet: TorchSubnet) -> None:
        super().__init__()
        self._subnet = subnet

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._subnet.forward(x)


def main() -> None:
    """Measure every bundle that ships with the project."""
    finish({"bundles": {name: _measure(name) for name in shipped()}, "rounds": ROUNDS})


def _measure(name: str) -> dict[str, float]:
    served = bundle(name)
    space, frames = served.space, frames_of(name, 16)
    ours, eager = OnnxEngine(served), TorchEngine(served)
    genomes = [space.full(), space.smallest(), *space.random(np.random.default_rng(2), RANDOM_SUBNETS)]
    ratios, speedups, errors, times_us = [], [], [], []
    for genome in genomes:
        subnet, eager_subnet = ours.prepare(genome).subnet, eager.prepare(genome).subnet
        exported = _exported(eager_subnet, frames[:1])
        ours_us, exported_us, eager_us = _in_turn_us(
            [partial(_run, subnet), exported, partial(_run, eager_subnet)], frames
        )
        ratios.append(ours_us / exported_us)
        speedups.append(eager_us / ours_us)
        times_us.append(ours_us)
        errors += [float(np.abs(subnet.run(frame) - eager_subnet.run(frame)).max()) for frame in frames[:, None]]
    return {
        "full_us": round(times_us[0], 1),
        "ratio_to_export": percentile(ratios, 50),
        "worst_ratio_to_export": percentile(ratios, 100),
        "speedup_over_eager_torch": percentile(speedups, 50),
        "least_speedup_over_eager_torch": percentile(speedups, 0),
        "max_abs_error": float(f"{max(errors):.3g}"),
    }


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
