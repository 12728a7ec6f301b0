"""The torch engine: for CUDA on Jetson boards, and where onnxruntime is missing."""

from __future__ import annotations

from time import perf_counter

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from adaspring.bundle import Bundle
from adaspring.engine.assemble import Assembled, Assembler
from adaspring.engine.base import Batch, Prepared, warm
from adaspring.space import Conv, Genome


class TorchSubnet:
    """A subnet as tensors on one device."""

    def __init__(self, genome: Genome, name: str, assembled: Assembled, device: torch.device) -> None:
        """Move the arrays of a subnet to a device."""
        self.genome = genome
        self.name = name
        self._device = device
        self._layers = [
            (layer.layer.conv, self._move(layer.weight), self._move(layer.bias)) for layer in assembled.layers
        ]
        self._head = self._move(assembled.head_weight), self._move(assembled.head_bias)
        self._convolve = functional.conv1d if assembled.layers[0].weight.ndim == 3 else functional.conv2d  # noqa: PLR2004 - (out, in, length)

    def _move(self, array: Batch) -> Tensor:
        return torch.from_numpy(array).to(self._device)

    def _layer(self, x: Tensor, conv: Conv, weight: Tensor, bias: Tensor) -> Tensor:
        groups = conv.out_channels if conv.depthwise else 1
        x = self._convolve(x, weight, bias, stride=conv.stride, padding=conv.kernel // 2, groups=groups)
        return functional.relu_(x) if conv.relu else x

    @torch.inference_mode()
    def run(self, batch: Batch) -> Batch:
        """Logits of a batch; see `engine.base.Subnet`."""
        x = self._move(batch)
        for conv, weight, bias in self._layers:
            x = self._layer(x, conv, weight, bias)
        pooled = x.flatten(start_dim=2).mean(dim=2)
        logits: Batch = functional.linear(pooled, *self._head).cpu().numpy()
        return logits


class TorchEngine:
    """Runs assembled subnets eagerly, one kernel after the other."""

    def __init__(self, bundle: Bundle, *, threads: int = 1) -> None:
        """Take a bundle.

        Args:
            bundle: Verified bundle.
            threads: Threads of one frame on the CPU.

        Raises:
            EngineError: If the bundle lacks a tensor.
        """
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        torch.set_num_threads(threads)
        self.name = f"torch-{torch.__version__}-{self._device.type}-t{threads}"
        self._assembler = Assembler(bundle)
        self._shape = bundle.manifest.input.shape

    def prepare(self, genome: Genome) -> Prepared:
        """Assemble, load and warm a subnet; see `engine.base.Engine`."""
        started = perf_counter()
        assembled = self._assembler.assemble(genome)
        sliced = perf_counter()
        subnet = TorchSubnet(genome, self._assembler.space.format(genome), assembled, self._device)
        loaded = perf_counter()
        warm(subnet, np.zeros((1, *self._shape), dtype=np.float32))
        done = perf_counter()
        return Prepared(
            subnet,
            assemble_us=(sliced - started) * 1e6,
            load_us=(loaded - sliced) * 1e6,
            warm_us=(done - loaded) * 1e6,
        )
