"""The torch engine: for CUDA on Jetson boards, and where onnxruntime is missing."""

from __future__ import annotations

from time import perf_counter

import numpy as np
import torch

from adaspring.bundle import Bundle
from adaspring.engine.assemble import Assembler
from adaspring.engine.base import Prepared, warm
from adaspring.engine.quantize import Quantizer
from adaspring.engine.torch.int8 import EmulatedSubnet
from adaspring.engine.torch.subnet import TorchSubnet
from adaspring.space import Genome


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
        self._quantizer = Quantizer(bundle) if "int8" in bundle.space.spec.precisions else None
        self._shape = bundle.manifest.input.shape

    def prepare(self, genome: Genome) -> Prepared:
        """Assemble, load and warm a subnet; see `engine.base.Engine`."""
        started = perf_counter()
        name = self._assembler.space.format(genome)
        subnet: TorchSubnet
        if self._quantizer is not None and self._assembler.space.precision(genome) == "int8":
            quantized = self._quantizer.assemble(genome)
            sliced = perf_counter()
            subnet = EmulatedSubnet(genome, name, quantized, self._device)
        else:
            assembled = self._assembler.assemble(genome)
            sliced = perf_counter()
            subnet = TorchSubnet(genome, name, assembled, self._device)
        loaded = perf_counter()
        warm(subnet, np.zeros((1, *self._shape), dtype=np.float32))
        done = perf_counter()
        return Prepared(
            subnet,
            assemble_us=(sliced - started) * 1e6,
            load_us=(loaded - sliced) * 1e6,
            warm_us=(done - loaded) * 1e6,
            weights_mib=subnet.weights_mib,
        )
